/** The policy half of the cache over fake upstreams, with a clock that the test turns. */
import { UpstreamRights } from '../../../src/cache/visibility/upstream-rights.ts';
import type {
  CatalogAnswer,
  CatalogQuery,
  ManifestAnswer,
  ReferrersAnswer,
  TagsAnswer,
} from '../../../src/cache/contract/cache.ts';
import type { CacheEvents } from '../../../src/fill/contract/events.ts';
import { Lists } from '../../../src/cache/lists/lists.ts';
import { Manifests } from '../../../src/cache/manifests/manifests.ts';
import { SlowUpstreams } from '../../../src/cache/contract/slow-upstreams.ts';
import type { UpstreamPolicy } from '../../../src/cache/contract/upstream-policy.ts';
import { defaultPolicyOptions, type PolicyDeps, type PolicyOptions } from '../../../src/cache/contract/deps.ts';
import { ChangeCounters } from '../../../src/lib/change-counters.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { parseReference, parseTag, type Reference, type Repository, type Tag } from '../../../src/oci/reference.ts';
import { type BlobInfo, StoreError } from '../../../src/store/contract/blob-store.ts';
import type { RepositoryKey, TagKey } from '../../../src/store/contract/metadata.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { PublicUpstream } from '../../../src/upstream/public-upstream.ts';
import type { Upstream } from '../../../src/upstream/contract/upstream.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { patienceMs, within } from '../../support/gate.ts';
import { repository } from '../../fill/support/engine.ts';
import type { FakeUpstream } from './fake-upstream.ts';
import { FaultyStore } from '../../fill/support/faulty-store.ts';

/** Adds to the fill engine's store what can go wrong with small objects. */
export class ManifestStore extends FaultyStore {
  /** Every call fails, as on a disk that is gone. */
  isDead = false;
  /** Writes fail, as on a full disk. */
  isFull = false;
  puts = 0;

  override async stat(digest: Digest): Promise<BlobInfo | undefined> {
    this.#live();
    return super.stat(digest);
  }

  override async readAll(digest: Digest): Promise<Uint8Array | undefined> {
    this.#live();
    return super.readAll(digest);
  }

  override async put(digest: Digest, bytes: Uint8Array): Promise<BlobInfo> {
    this.#live();
    if (this.isFull) throw new StoreError('full', 'no space left');
    this.puts++;
    return super.put(digest, bytes);
  }

  #live(): void {
    if (this.isDead) throw new StoreError('sick', 'input/output error');
  }
}

export interface RigOptions extends Partial<PolicyOptions> {
  readonly policy?: Partial<Omit<UpstreamPolicy, 'upstream'>>;
}

export class PolicyRig implements Disposable {
  readonly clock: FakeClock;
  readonly metadata: Metadata;
  readonly store: ManifestStore;
  readonly rejected: string[] = [];
  readonly policies: Map<string, UpstreamPolicy>;
  readonly options: PolicyOptions;
  deps: PolicyDeps;
  rights: UpstreamRights;
  manifests: Manifests;
  listings: Lists;
  /** Whom `get` and the others ask unless they are told otherwise. */
  upstream: string;

  constructor(upstreams: readonly FakeUpstream[], { policy, ...options }: RigOptions = {}) {
    this.clock = new FakeClock();
    this.metadata = new Metadata({ path: ':memory:', clock: this.clock, logger: silentLogger });
    this.store = new ManifestStore(this.metadata);
    this.options = { ...defaultPolicyOptions, ...options };
    const rules = {
      access: 'public',
      tagTtlMs: 60_000,
      staleIfErrorMs: 30 * 86_400_000,
      isImmutableTag: () => false,
      ...policy,
    } as const;
    this.policies = new Map(upstreams.map((fake) => [fake.key, { ...rules, upstream: shownBy(fake, rules.access) }]));
    this.upstream = upstreams[0]?.key ?? '';
    ({ deps: this.deps, rights: this.rights, manifests: this.manifests, listings: this.listings } = this.#start());
  }

  /** What a new process finds: the store and the catalog, and nothing that was in memory. */
  restart(): void {
    this.#stop();
    this.metadata.flush();
    ({ deps: this.deps, rights: this.rights, manifests: this.manifests, listings: this.listings } = this.#start());
  }

  key(name: string, upstream: string = this.upstream): RepositoryKey {
    return { upstream, repository: repository(name) };
  }

  tagKey(name: string, upstream: string = this.upstream): TagKey {
    const { repository: parsed, reference } = parseName(name);
    if (reference.kind !== 'tag') throw new Error(`not a tag: ${name}`);
    return { upstream, repository: parsed, tag: reference.tag };
  }

  /** `name`: `library/alpine:3.20` or `library/alpine@sha256:…`. */
  get(name: string, options: { upstream?: string; signal?: AbortSignal } = {}): Promise<ManifestAnswer> {
    return this.#manifest(name, 'get', options);
  }

  head(name: string, options: { upstream?: string; signal?: AbortSignal } = {}): Promise<ManifestAnswer> {
    return this.#manifest(name, 'head', options);
  }

  tags(name: string, page: { n?: number; last?: string; upstream?: string } = {}): Promise<TagsAnswer> {
    const { n, last } = page;
    const query = { ...this.key(name, page.upstream), n, last };
    return patient(this.listings.tags(query, new AbortController().signal), `tags of ${name}`);
  }

  referrers(
    name: string,
    digest: Digest,
    page: { artifactType?: string; n?: number; last?: string; upstream?: string } = {},
  ): Promise<ReferrersAnswer> {
    const { n, last, artifactType } = page;
    const query = { ...this.key(name, page.upstream), digest, n, last, artifactType };
    return patient(this.listings.referrers(query, new AbortController().signal), `referrers of ${digest}`);
  }

  repositories(query: CatalogQuery): Promise<CatalogAnswer> {
    return patient(this.listings.catalog(query, new AbortController().signal), '_catalog');
  }

  [Symbol.dispose](): void {
    this.#stop();
    this.metadata.close();
  }

  #manifest(
    name: string,
    method: 'get' | 'head',
    { upstream = this.upstream, signal = new AbortController().signal }: { upstream?: string; signal?: AbortSignal },
  ): Promise<ManifestAnswer> {
    return patient(this.manifests.manifest({ upstream, ...parseName(name), method }, signal), `${method} ${name}`);
  }

  #start(): Pick<PolicyRig, 'deps' | 'rights' | 'manifests' | 'listings'> {
    const { clock, metadata, store, options, policies: upstreams } = this;
    const told = { logger: silentLogger, events: eventsInto(this.rejected), slowUpstreams: new SlowUpstreams() };
    const changes = new ChangeCounters();
    const shared = { clock, metadata, store, options, upstreams, changes, ...told };
    const rights = new UpstreamRights(shared);
    const deps = { ...shared, rights };
    return { deps, rights, manifests: new Manifests(deps), listings: new Lists(deps) };
  }

  #stop(): void {
    this.manifests.close();
    this.listings.close();
    this.rights.close();
  }
}

/** As the daemon does it: with `public`, everything is asked as a stranger. */
function shownBy(fake: FakeUpstream, access: UpstreamPolicy['access']): Upstream {
  if (access === 'all') return fake;
  const events = { upstreamRejected: (): void => undefined };
  return new PublicUpstream({ member: fake, stranger: fake.stranger(), logger: silentLogger, events });
}

export function tag(text: string): Tag {
  const parsed = parseTag(text);
  if (parsed === undefined) throw new Error(`not a tag: ${text}`);
  return parsed;
}

function parseName(name: string): { repository: Repository; reference: Reference } {
  const mark = name.search(/[:@]/);
  const reference = parseReference(name.slice(mark + 1));
  if (mark === -1 || reference === undefined) throw new Error(`not a name: ${name}`);
  return { repository: repository(name.slice(0, mark)), reference };
}

function eventsInto(rejected: string[]): CacheEvents {
  const nothing = (): void => undefined;
  return {
    fillStarted: nothing,
    fillEnded: nothing,
    fillJoined: nothing,
    fillResumed: nothing,
    prefetchEnded: nothing,
    unprovedRangeBytes: nothing,
    evicted: nothing,
    rejected: ({ reason }) => void rejected.push(reason),
  };
}

/** Waits in real time have a deadline; the fake clock has none. */
export function patient<T>(promise: Promise<T>, what: string): Promise<T> {
  return within(patienceMs, promise, () => what);
}
