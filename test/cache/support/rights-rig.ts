/**
 * A whole cache over two registries on real sockets, `u` and `v`, in which some repositories are for their member alone,
 * and whatever may change between two lives of it: the credential, `access`, being offline, a lost catalog.
 */
import { rm } from 'node:fs/promises';
import { createCache, type RunningCache } from '../../../src/cache/create.ts';
import type { CacheEvents } from '../../../src/cache/events.ts';
import type { UpstreamPolicy } from '../../../src/cache/policy.ts';
import type { PolicyOptions } from '../../../src/cache/policy-deps.ts';
import { upstreamFor } from '../../../src/app-upstreams.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import type { Catalog } from '../../../src/store/catalog.ts';
import { type OpenedStore, openStore } from '../../../src/store/open-store.ts';
import { type CredentialSource, credentialIdentity } from '../../../src/upstream/credentials.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { TokenIssuer } from '../../support/upstream/auth.ts';
import { noTls } from '../../upstream/support/senders.ts';
import { repository } from './engine.ts';
import { patient } from './policy-rig.ts';

export type Name = 'u' | 'v';

export interface Settings {
  readonly access?: UpstreamPolicy['access'];
  /** The user of weir's credential at both registries; undefined: none. */
  readonly user?: string;
  readonly offline?: boolean;
}

export interface Got {
  /** `200`, or the kind of the error. */
  readonly status: string;
  readonly how?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly digest?: Digest | undefined;
}

const events: CacheEvents = new Proxy({} as CacheEvents, { get: () => (): void => undefined });
const users = { alice: 'secret', bob: 'secret' };

export class RightsRig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly u: ScriptedUpstream;
  readonly v: ScriptedUpstream;
  /** Repositories that only members read; may change at any time. */
  readonly private: Readonly<Record<Name, string[]>>;
  settings: Settings = {};
  readonly #temp: TempDirectory;
  #opened: OpenedStore | undefined;
  #running: RunningCache | undefined;
  #policies: ReadonlyMap<string, UpstreamPolicy> = new Map();

  private constructor(u: ScriptedUpstream, v: ScriptedUpstream, hidden: RightsRig['private'], temp: TempDirectory) {
    this.#temp = temp;
    this.u = u;
    this.v = v;
    this.private = hidden;
  }

  static async start(settings: Settings = {}): Promise<RightsRig> {
    const hidden = { u: [], v: [] } as Record<Name, string[]>;
    const [u, v] = await Promise.all(
      (['u', 'v'] as const).map((name) =>
        ScriptedUpstream.start({
          auth: { kind: 'bearer', issuer: new TokenIssuer({ users, privateRepositories: hidden[name] }) },
        }),
      ),
    );
    if (u === undefined || v === undefined) throw new Error('no registries');
    const rig = new RightsRig(u, v, hidden, await tempDirectory('rights'));
    await rig.restart(settings);
    return rig;
  }

  get catalog(): Catalog {
    if (this.#opened === undefined) throw new Error('not running');
    return this.#opened.catalog;
  }

  /** Another life over the same root, with these settings. */
  async restart(settings: Settings = {}, isCatalogLost = false): Promise<void> {
    await this.#stop();
    this.settings = settings;
    const root = this.#temp.file('root');
    for (const suffix of isCatalogLost ? ['', '-wal', '-shm'] : []) {
      await rm(`${root}/weir/catalog.db${suffix}`, { force: true });
    }
    const { clock } = this;
    this.#opened = await openStore({ root, partialTtlMs: 86_400_000, clock, logger: silentLogger });
    await this.#opened.recovered;
    const { store, catalog } = this.#opened;
    const { access = 'all', user, offline = false } = settings;
    const rules = { access, tagTtlMs: 60_000, staleIfErrorMs: 86_400_000, isImmutableTag: () => false } as const;
    this.#policies = new Map(
      (['u', 'v'] as const).map((key) => [key, { ...rules, upstream: this.#upstream(key, access, user, offline) }]),
    );
    const policy: Partial<PolicyOptions> = { staleAfterMs: 1e9, negativeTtlMs: 0 };
    this.#running = createCache({
      store,
      catalog,
      upstreams: this.#policies,
      clock,
      logger: silentLogger,
      events,
      limits: { maxBytes: 2 ** 40, minFreeBytes: () => 0 },
      connections: 1,
      onAbandon: 'finish',
      offline,
      policy,
    });
  }

  /** Questions of either registry since the last call: `HEAD u/a/b/manifests/1`. Tokens are not counted. */
  takeAsked(): readonly string[] {
    const asked = (['u', 'v'] as const).flatMap((name) =>
      this[name].requests
        .filter(({ kind, status }) => kind !== 'token' && kind !== 'ping' && status !== 401)
        .map(({ method, path }) => `${method} ${name}${path.slice('/v2'.length).replace(/\?.*/, '')}`),
    );
    for (const name of ['u', 'v'] as const) this[name].forgetRequests();
    return asked;
  }

  async manifest(name: Name, path: string, text: string, method: 'get' | 'head' = 'get'): Promise<Got> {
    const reference = parseReference(text);
    if (reference === undefined) throw new Error(`no reference: ${text}`);
    const query = { upstream: name, repository: repository(path), reference, method };
    return this.#got(async (signal) => {
      const { outcome, mediaType, digest } = await this.#cache.cache.manifest(query, signal);
      return { how: outcome.kind, mediaType, digest };
    });
  }

  async blob(name: Name, path: string, text: string, method: 'get' | 'head' = 'get'): Promise<Got> {
    const digest = parseDigest(text);
    if (digest === undefined) throw new Error(`no digest: ${text}`);
    const query = { upstream: name, repository: repository(path), digest, method, ranges: undefined };
    return this.#got(async (signal) => {
      const view = await this.#cache.cache.blob(query, signal);
      try {
        if (method === 'get') await this.#drain(view, signal);
        return { how: view.outcome.kind };
      } finally {
        view.close();
        // Clients have the bytes before the store has.
        await eventually(() => this.#cache.fillCount() === 0);
      }
    });
  }

  /** What is listed as cached. */
  async listed(): Promise<readonly string[]> {
    const all = { upstream: undefined, n: undefined, last: undefined };
    return (await this.#cache.cache.catalog(all, new AbortController().signal)).repositories;
  }

  link(name: Name, path: string, digest: Digest, kind: 'manifest' | 'blob'): string | undefined {
    return this.catalog.link({ upstream: name, repository: repository(path) }, digest, kind)?.origin.kind;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.u[Symbol.asyncDispose]();
    await this.v[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }

  get #cache(): RunningCache {
    if (this.#running === undefined) throw new Error('not running');
    return this.#running;
  }

  async #stop(): Promise<void> {
    await this.#running?.close(new AbortController().signal);
    for (const { upstream } of this.#policies.values()) await upstream.close();
    await this.#opened?.close();
  }

  async #got(work: (signal: AbortSignal) => Promise<Omit<Got, 'status'>>): Promise<Got> {
    try {
      return { status: '200', ...(await patient(work(new AbortController().signal), 'an answer')) };
    } catch (error) {
      if (error instanceof Error && 'kind' in error) return { status: String(error.kind) };
      throw error;
    }
  }

  async #drain(view: Awaited<ReturnType<RunningCache['cache']['blob']>>, signal: AbortSignal): Promise<void> {
    const reader = await view.open({ start: 0, end: view.sizeBytes }, signal);
    try {
      for (let position = 0; ;) {
        const end = await reader.readable(position, signal);
        if (end === position) return;
        position += await reader.read(Buffer.alloc(end - position), 0, end - position, position);
      }
    } finally {
      reader.close();
    }
  }

  #upstream(name: Name, access: 'public' | 'all', user: string | undefined, isOffline: boolean) {
    const options = {
      key: name,
      endpoints: [this[name].url],
      credentials: user === undefined ? undefined : credentialOf(user),
      realms: [],
      allowHosts: [],
      tls: noTls,
      proxy: { kind: 'direct' },
      proxyEnvironment: { http: undefined, https: undefined, noProxy: [] },
      connections: 8,
      isOffline,
      clock: systemClock,
      logger: silentLogger,
      events: new Proxy({} as Parameters<typeof upstreamFor>[0]['events'], { get: () => (): void => undefined }),
    } as const;
    return upstreamFor(options, access);
  }
}

function credentialOf(username: string): CredentialSource {
  const identity = credentialIdentity(username);
  const credential = { kind: 'basic', name: 'test', identity, username, password: new Secret('secret') } as const;
  return {
    get: () => Promise.resolve(credential),
    refused: () => undefined,
    mayAnswer: () => true,
    isAt: (place) => place === `basic ${username}`,
  };
}
