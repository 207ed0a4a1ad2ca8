/**
 * A whole cache over two registries on real sockets, `u` and `v`, in which some repositories are for their member alone,
 * and whatever may change between two lives of it: the credential, `access`, being offline, a lost catalog.
 */
import type { UpstreamPolicy } from '../../../src/cache/contract/upstream-policy.ts';
import { upstreamFor } from '../../../src/daemon/upstreams.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { Secret } from '../../../src/lib/secret.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Metadata } from '../../../src/store/metadata/metadata.ts';
import {
  type Credential,
  type CredentialSource,
  credentialIdentity,
} from '../../../src/upstream/credentials/credentials.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { TokenIssuer } from '../../support/upstream/auth.ts';
import { noTls } from '../../upstream/support/senders.ts';
import { CacheLife, type Got } from './cache-life.ts';

export type Name = 'u' | 'v';

export interface Settings {
  readonly access?: UpstreamPolicy['access'];
  /** The user of weir's credential at both registries; undefined: none. */
  readonly user?: string;
  readonly offline?: boolean;
}

const users = { alice: 'secret', bob: 'secret' };

export class RightsRig implements AsyncDisposable {
  readonly u: ScriptedUpstream;
  readonly v: ScriptedUpstream;
  /** Repositories that only members read; may change at any time. */
  readonly private: Readonly<Record<Name, string[]>>;
  settings: Settings = {};
  readonly #life: CacheLife;

  private constructor(u: ScriptedUpstream, v: ScriptedUpstream, hidden: RightsRig['private'], life: CacheLife) {
    this.#life = life;
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
    const rig = new RightsRig(u, v, hidden, await CacheLife.start());
    await rig.restart(settings);
    return rig;
  }

  get clock(): FakeClock {
    return this.#life.clock;
  }

  get metadata(): Metadata {
    return this.#life.metadata;
  }

  /** Another life over the same root, with these settings. */
  async restart(settings: Settings = {}, isCatalogLost = false): Promise<void> {
    this.settings = settings;
    const { access = 'all', offline = false } = settings;
    const rules = { access, tagTtlMs: 60_000, staleIfErrorMs: 86_400_000, isImmutableTag: () => false } as const;
    const made = (['u', 'v'] as const).map(
      (key) => [key, { ...rules, upstream: this.#upstream(key, access, offline) }] as const,
    );
    await this.#life.restart({ upstreams: new Map(made), offline, isCatalogLost });
  }

  /** Within this life. */
  become(user: string | undefined): void {
    const { user: _, ...settings } = this.settings;
    this.settings = user === undefined ? settings : { ...settings, user };
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

  manifest(name: Name, path: string, text: string, method: 'get' | 'head' = 'get'): Promise<Got> {
    return this.#life.manifest(name, path, text, method);
  }

  blob(name: Name, path: string, text: string, method: 'get' | 'head' = 'get'): Promise<Got> {
    return this.#life.blob(name, path, text, method);
  }

  /** What is listed as cached. */
  listed(): Promise<readonly string[]> {
    return this.#life.listed();
  }

  link(name: Name, path: string, digest: Digest, kind: 'manifest' | 'blob'): string | undefined {
    return this.#life.link(name, path, digest, kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#life[Symbol.asyncDispose]();
    await this.u[Symbol.asyncDispose]();
    await this.v[Symbol.asyncDispose]();
  }

  #upstream(name: Name, access: 'public' | 'all', isOffline: boolean) {
    const options = {
      key: name,
      endpoints: [this[name].url],
      credentials: this.#credentials(),
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

  #credentials(): CredentialSource {
    const user = (): string | undefined => this.settings.user;
    return {
      get: () => Promise.resolve(credentialOf(user())),
      refused: () => undefined,
      mayAnswer: () => user() !== undefined,
      isAt: (place) => place === `basic ${user()}`,
    };
  }
}

function credentialOf(username: string | undefined): Credential | undefined {
  if (username === undefined) return undefined;
  const identity = credentialIdentity(username);
  return { kind: 'basic', name: 'test', identity, username, password: new Secret('secret') };
}
