/**
 * A registry without sockets: answers at the sender's seam, at once, by rights that are kept for each manifest. What it
 * does wrong is what registries and networks do wrong: say yes to any HEAD, lead strangers to a page, be gone.
 */
import type { Clock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { Authorizer } from '../../../src/upstream/auth/authorizer.ts';
import type { CredentialSource } from '../../../src/upstream/credentials/credentials.ts';
import type { Endpoint } from '../../../src/upstream/requests/endpoint.ts';
import { Endpoints } from '../../../src/upstream/requests/failover.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { PublicUpstream } from '../../../src/upstream/public-upstream.ts';
import { RegistryClient } from '../../../src/upstream/registry-client.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from '../../../src/upstream/exchange/sender.ts';
import type { Upstream, UpstreamEvents } from '../../../src/upstream/contract/upstream.ts';
import { Origins, watched } from '../../../src/upstream/health/watched-sender.ts';
import type { BuiltManifest } from '../../support/image-builder.ts';

/** Who reads a repository: anybody · anybody what its tag `pub` leads to, members the rest · members. */
export type Openness = 'open' | 'pub' | 'closed';

interface Thing {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

interface Shelf {
  openness: Openness;
  readonly tags: Map<string, Digest>;
  readonly images: Set<BuiltManifest>;
}

interface ModelOptions {
  readonly name: string;
  readonly url: URL;
  readonly scheme: 'basic' | 'bearer';
  /** Everything that exists anywhere: whoever says yes to any HEAD knows the size as well. */
  readonly everything: readonly BuiltManifest[];
}

const events = new Proxy({} as UpstreamEvents, { get: () => (): void => undefined });
const page = Buffer.from('Sign in to the hotel network');

export class ModelRegistry {
  readonly options: ModelOptions;
  readonly shelves = new Map<string, Shelf>();
  /** Passwords of members. `alice` reads everything, others the repositories below `r/`. */
  readonly users = new Map<string, string>();
  isDown = false;
  isLenient = false;
  /** What strangers get instead of a refusal. */
  login: 'html' | 'plain' | 'endless' | undefined;
  readonly #all = new Map<string, Thing>();

  constructor(options: ModelOptions) {
    this.options = options;
    for (const image of options.everything) {
      this.#all.set(`manifests ${image.digest}`, image);
      for (const blob of image.blobs) this.#all.set(`blobs ${blob.digest}`, blob);
    }
  }

  push(path: string, image: BuiltManifest, tag: string): void {
    const manifestStore = this.shelves.get(path) ?? { openness: 'open', tags: new Map(), images: new Set() };
    this.shelves.set(path, manifestStore);
    manifestStore.images.add(image);
    manifestStore.tags.set(tag, image.digest);
  }

  /** `user` undefined: a stranger. */
  mayRead(user: string | undefined, path: string, { digest }: BuiltManifest): boolean {
    const manifestStore = this.shelves.get(path);
    if (manifestStore === undefined) return false;
    if (manifestStore.openness === 'open' || user === 'alice') return true;
    if (user !== undefined && path.startsWith('r/')) return true;
    return manifestStore.openness === 'pub' && manifestStore.tags.get('pub') === digest;
  }

  /** As weir would have it, but for the sender. */
  upstream(
    access: 'public' | 'all',
    { credentials, isOffline, clock }: { credentials: CredentialSource; isOffline: boolean; clock: Clock },
  ): Upstream {
    const member = this.#client(credentials, isOffline, clock);
    if (access === 'all') return member;
    return new PublicUpstream({
      member,
      stranger: this.#client(undefined, isOffline, clock),
      logger: silentLogger,
      events,
    });
  }

  #client(credentials: CredentialSource | undefined, isOffline: boolean, clock: Clock): Upstream {
    const { name: key, url } = this.options;
    const plain: Sender = { send: (request) => this.#send(request), close: () => Promise.resolve() };
    const origins = new Origins({ upstream: key, clock, onChange: () => undefined });
    const sender = watched(plain, origins);
    const auth = { upstream: key, sender, endpoints: [url], realms: [], events, clock };
    const endpoint: Endpoint = {
      name: url.origin,
      url,
      sender,
      health: origins.of(url, plain, false, url),
      authorizer: new Authorizer({ ...auth, credentials }),
      anonymous: new Authorizer({ ...auth, credentials: undefined }),
      certificate: undefined,
      refusesBlobHead: false,
      isSibling: () => false,
      mayDowngrade: () => true,
    };
    const endpoints = [endpoint];
    const asked = {
      upstream: key,
      endpoints,
      headTimeoutMs: 60_000,
      connections: 8,
      clock,
      logger: silentLogger,
      events,
    };
    const asking = new Endpoints({ ...asked, onRegistryAnswer: () => undefined });
    const limits = { connections: 8, bandwidth: undefined, isOffline };
    return new RegistryClient({
      key,
      prefix: undefined,
      endpoints,
      asking,
      ...limits,
      clock,
      onClose: () => origins.close(),
    });
  }

  async #send(request: OutgoingRequest): Promise<IncomingResponse> {
    await Promise.resolve();
    const { name } = this.options;
    if (this.isDown) throw new UpstreamError('unreachable', `${name} is down`, { upstream: name, isDial: true });
    return this.#answer(request);
  }

  #answer({ method, url, headers }: OutgoingRequest): IncomingResponse {
    const who = this.#who(headers['authorization']);
    if (url.pathname === '/token') return who === 'wrong' ? answerOf(401) : this.#token(who);
    if (url.pathname === '/v2/') return answerOf(200);
    const [, path = '', kind = '', text = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
    if (method === 'HEAD' && this.isLenient) return this.#yes(path, kind, text);
    if (who === 'wrong') return this.#refused();
    const manifestStore = this.shelves.get(path);
    const digest = manifestStore?.tags.get(text) ?? text;
    const user = who === 'bare' || who === 'nobody' ? undefined : who.slice('user '.length);
    const images = [...(manifestStore?.images ?? [])].filter((image) => this.mayRead(user, path, image));
    const found = images
      .flatMap((image): readonly { readonly digest: Digest }[] => (kind === 'manifests' ? [image] : image.blobs))
      .some((thing) => thing.digest === digest);
    const isPage = !found && this.login !== undefined;
    // Where there are tokens, nobody has to have one as well.
    if (who === 'bare' && this.options.scheme === 'bearer' && !isPage) return this.#refused();
    if (found) return this.#thing(method, kind, digest);
    if (user !== undefined) return answerOf(404);
    return this.login === undefined ? this.#refused() : loginPage(this.login);
  }

  /** `bare`: no authorization at all, which a registry with tokens answers with its challenge. */
  #who(authorization: string | undefined): 'bare' | 'nobody' | 'wrong' | `user ${string}` {
    const [scheme = '', value = ''] = authorization?.split(' ') ?? [];
    if (scheme === '') return 'bare';
    if (scheme === 'Bearer') return value === 'nobody' ? value : `user ${value}`;
    const [user = '', password = ''] = Buffer.from(value, 'base64').toString().split(':');
    return this.users.get(user) === password ? `user ${user}` : 'wrong';
  }

  #token(who: string): IncomingResponse {
    const token = who.startsWith('user ') ? who.slice('user '.length) : 'nobody';
    return answerOf(
      200,
      { 'content-type': 'application/json' },
      Buffer.from(JSON.stringify({ token, expires_in: 300 })),
    );
  }

  #refused(): IncomingResponse {
    const { scheme, url } = this.options;
    const bearer = `Bearer realm="${url.origin}/token",service="model"`;
    return answerOf(401, { 'www-authenticate': scheme === 'basic' ? 'Basic realm="model"' : bearer });
  }

  /** To whatever is asked; a tag that is not here is somebody else's image. */
  #yes(path: string, kind: string, text: string): IncomingResponse {
    const { everything } = this.options;
    const named = this.shelves.get(path)?.tags.get(text) ?? everything[text.length % everything.length]?.digest ?? text;
    return this.#thing('HEAD', kind, text.includes(':') ? text : named);
  }

  #thing(method: string, kind: string, digest: string): IncomingResponse {
    const thing = this.#all.get(`${kind} ${digest}`);
    if (thing === undefined) return answerOf(404);
    const type = kind === 'blobs' ? 'application/octet-stream' : thing.mediaType;
    const length = String(thing.bytes.byteLength);
    const headers = { 'content-type': type, 'content-length': length, 'docker-content-digest': digest };
    return answerOf(200, headers, method === 'HEAD' ? Buffer.alloc(0) : thing.bytes);
  }
}

function loginPage(kind: NonNullable<ModelRegistry['login']>): IncomingResponse {
  const length = kind === 'endless' ? {} : { 'content-length': String(page.byteLength) };
  return answerOf(200, { 'content-type': kind === 'html' ? 'text/html' : 'text/plain', ...length }, page);
}

function answerOf(status: number, headers: IncomingResponse['headers'] = {}, bytes?: Uint8Array): IncomingResponse {
  const body = (async function* () {
    await Promise.resolve();
    if (bytes !== undefined && bytes.byteLength > 0) yield bytes;
  })();
  return { status, headers, body, discard: () => Promise.resolve(), abort: () => undefined };
}
