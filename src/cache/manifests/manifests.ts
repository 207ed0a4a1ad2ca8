/** Manifests by tag and by digest, from here or from upstream. Rights first, then look-ups. */
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import { isAborted, isOutage } from '../../upstream/contract/errors.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import type { FromClient, LeasedAnswer, ManifestAnswer, ManifestQuery } from '../contract/cache.ts';
import { TagBindings } from './tag-bindings.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import { repositoryText } from '../../store/contract/keys.ts';
import { lease } from '../contract/lease.ts';
import { answerOf, contentOf, typed } from './answer.ts';
import { ManifestFetch } from './fetch.ts';
import { type KeptManifest, ManifestStore } from './store.ts';
import { onBehalf } from '../contract/on-behalf.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { TagResolver } from './resolve-tag.ts';
import { shuttingDown } from '../freshness/error-classes.ts';

/** Every call rejects with CacheError or UpstreamError; a signal ends only the caller's waiting. */
export class Manifests {
  readonly #deps: PolicyDeps;
  readonly #manifestStore: ManifestStore;
  readonly #fetch: ManifestFetch;
  readonly #resolver: TagResolver;
  readonly #bindings: TagBindings;
  #isClosed = false;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    const bindings = new TagBindings(deps.metadata, deps.clock, deps.changes);
    this.#bindings = bindings;
    this.#manifestStore = new ManifestStore(deps);
    const onFetched = (key: RepositoryKey, { manifest, isStored }: KeptManifest): void => {
      if (isStored) bindings.arrived(key, contentOf(manifest).record);
    };
    const onAbsent = (key: RepositoryKey, digest: Digest): void => bindings.lost(key, digest);
    this.#fetch = new ManifestFetch(deps, this.#manifestStore, onFetched, onAbsent);
    this.#resolver = new TagResolver(deps, { manifestStore: this.#manifestStore, fetch: this.#fetch, bindings });
  }

  async manifest(query: ManifestQuery, signal: AbortSignal): Promise<ManifestAnswer> {
    const { upstream: name, repository, reference, method } = query;
    const known = this.#deps.upstreams.get(name);
    if (known === undefined) throw new CacheError('nameUnknown', name, `no upstream ${name} is configured`);
    const policy = onBehalf(known, query);
    const key = { upstream: name, repository };
    try {
      if (reference.kind === 'tag') {
        return await this.#resolver.resolve({ ...key, tag: reference.tag }, method, policy, signal);
      }
      return await this.#byDigest(policy.upstream, key, reference.digest, query, signal);
    } catch (error) {
      throw this.#isClosed && isAborted(error) ? shuttingDown(error) : error;
    }
  }

  /** See `Cache.peek`. */
  async peek({ upstream, repository, reference, method }: ManifestQuery): Promise<LeasedAnswer | undefined> {
    const { upstreams, rights, metadata, changes } = this.#deps;
    const policy = upstreams.get(upstream);
    if (policy === undefined) return undefined;
    const key = { upstream, repository };
    // Before the look, so that what changes meanwhile is noticed.
    const stamp = changes.stamp(repositoryText(key));
    const bound = reference.kind === 'tag' ? this.#resolver.fresh({ ...key, tag: reference.tag }, policy) : undefined;
    const digest = reference.kind === 'tag' ? bound?.binding.digest : reference.digest;
    if (digest === undefined || !rights.isLinked(key, digest, 'manifest')) return undefined;
    const link = metadata.links.get(key, digest, 'manifest');
    const manifest = await this.#manifestStore.read(digest);
    if (manifest === undefined) return undefined;
    const { record, bytes } = contentOf(manifest);
    const mediaType = bound?.binding.mediaType ?? link?.mediaType ?? record.mediaType;
    return lease(
      { ...record, mediaType, bytes: method === 'get' ? bytes : undefined },
      { stamp, freshMs: bound?.freshMs ?? Infinity },
    );
  }

  /** The repository has said that it has no such blob: tags that lead to it are due. */
  blobAbsent(key: RepositoryKey, digest: Digest): void {
    this.#bindings.lostBelow(key, digest);
  }

  /** Ends what runs in the background. */
  close(): void {
    this.#isClosed = true;
    this.#resolver.close();
    this.#fetch.close();
  }

  async #byDigest(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    query: ManifestQuery,
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    const { rights } = this.#deps;
    try {
      return await this.#byDigestAt(upstream, key, digest, query, signal);
    } catch (error) {
      // What asks for a digest of either kind asks here first, and for the blob only after a 404 (containerd v2.4.2,
      // core/remotes/docker/resolver.go `Resolve`): an outage must not hide a blob that is here.
      if (!isOutage(error) || !rights.isLinked(key, digest, 'blob')) throw error;
      throw new CacheError('manifestUnknown', key.upstream, 'known as a blob, not as a manifest', { cause: error });
    }
  }

  async #byDigestAt(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    { method, client }: ManifestQuery,
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    const { rights } = this.#deps;
    const standing = rights.standing(key, digest, 'manifest');
    const mayServe = standing === 'good' || (await this.#isAllowed(key, digest, signal, { client }));
    const here = mayServe ? await this.#here(key, digest, method) : undefined;
    if (here !== undefined) {
      this.#bindings.arrived(key, here);
      return here;
    }
    try {
      const head = method === 'head' ? await this.#fetch.headByDigest(upstream, key, digest, signal) : undefined;
      if (head !== undefined)
        return answerOf({ record: head.record, bytes: undefined }, method, { kind: head.isUnstored ? 'hit' : 'miss' });
      const { manifest, isStored, isCollapsed } = await this.#fetch.byDigest(upstream, key, digest, signal);
      return answerOf(contentOf(manifest, isStored), method, { kind: 'miss', ...(isCollapsed ? { isCollapsed } : {}) });
    } catch (error) {
      if (!isOutage(error)) throw error;
      if (standing === 'withheld') throw rights.withheld(key, error);
      const kept = standing === 'held' ? await this.#here(key, digest, method) : undefined;
      if (kept === undefined) throw error;
      return kept;
    }
  }

  /**
   * It lies here, and the upstream's word through this repository is all that is missing: whoever knows a digest may have
   * read it in somebody else's manifest. Where a word is not enough, the upstream has to send the bytes.
   */
  async #isAllowed(key: RepositoryKey, digest: Digest, signal: AbortSignal, from: FromClient): Promise<boolean> {
    const { rights } = this.#deps;
    if (!rights.isWordEnough(key, digest) || (await this.#manifestStore.stat(digest)) === undefined) return false;
    return !(await rights.ask(key, digest, 'manifest', signal, from)) || rights.isLinked(key, digest, 'manifest');
  }

  async #here(
    key: RepositoryKey,
    digest: Digest,
    method: ManifestQuery['method'],
  ): Promise<ManifestAnswer | undefined> {
    const link = this.#deps.metadata.links.get(key, digest, 'manifest');
    if (method === 'head') {
      const record = await this.#manifestStore.stat(digest);
      if (record === undefined) return undefined;
      return answerOf(typed({ record, bytes: undefined }, link?.mediaType), method, { kind: 'hit' });
    }
    const manifest = await this.#manifestStore.read(digest);
    if (manifest === undefined) return undefined;
    return answerOf(typed(contentOf(manifest), link?.mediaType), method, { kind: 'hit' });
  }
}
