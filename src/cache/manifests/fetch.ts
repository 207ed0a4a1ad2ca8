/** Bringing manifests from upstream: proved, stored, linked, in this order. */
import { LRUCache } from 'lru-cache';
import { Coalesce } from '../../lib/single-flight.ts';
import { type Digest, digestAlgorithm } from '../../oci/digest.ts';
import { isManifestType } from '../../oci/media-type.ts';
import type { Tag } from '../../oci/reference.ts';
import type { ManifestRecord, RepositoryKey } from '../../store/contract/metadata.ts';
import { provedBy } from '../../upstream/public-upstream.ts';
import type { ManifestBody, Upstream } from '../../upstream/contract/upstream.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import { contentText } from '../../store/contract/keys.ts';
import { proveManifest } from './verify.ts';
import type { KeptManifest, ManifestStore } from './store.ts';
import { NegativeCache } from '../freshness/negative-cache.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { isNotFound, isOutage } from '../../upstream/contract/errors.ts';

const maxUnstored = 4096;

interface UnstoredTags {
  readonly record: ManifestRecord;
  /** As `Shown` says it. */
  readonly shown: string | undefined;
}

type FetchDeps = Pick<PolicyDeps, 'rights' | 'events' | 'logger' | 'clock' | 'options'>;

export class ManifestFetch {
  readonly #deps: FetchDeps;
  readonly #manifestStore: ManifestStore;
  readonly #flights = new Coalesce<KeptManifest>();
  readonly #heads = new Coalesce<UnstoredTags | undefined>();
  readonly #negativeCache: NegativeCache;
  /** What a repository has said to HEAD of manifests that nobody has fetched; a digest says the same for ever. */
  readonly #unstored = new LRUCache<string, UnstoredTags>({ max: maxUnstored });
  /** Called when a repository has got a manifest. */
  readonly #onFetched: (key: RepositoryKey, fetched: KeptManifest) => void;
  /** Called when a repository has said that it has no such manifest. */
  readonly #onAbsent: (key: RepositoryKey, digest: Digest) => void;

  constructor(
    deps: FetchDeps,
    manifestStore: ManifestStore,
    onFetched: (key: RepositoryKey, fetched: KeptManifest) => void,
    onAbsent: (key: RepositoryKey, digest: Digest) => void,
  ) {
    this.#deps = deps;
    this.#manifestStore = manifestStore;
    this.#negativeCache = new NegativeCache(deps.clock);
    this.#onFetched = onFetched;
    this.#onAbsent = onAbsent;
  }

  /** One GET for all who ask through the same repository at the same time; `signal` ends only the waiting. */
  async byDigest(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<KeptManifest & { readonly isCollapsed: boolean }> {
    const text = contentText(key, digest);
    this.#negativeCache.check(text);
    const isCollapsed = this.#flights.has(text);
    const work = (own: AbortSignal): Promise<KeptManifest> =>
      this.#orAbsent(key, digest, () => this.#get(upstream, key, digest, own));
    const fetched = await this.#flights.run(text, work, signal);
    return { ...fetched, isCollapsed };
  }

  /**
   * What the upstream's HEAD says, when that is enough for an answer; else undefined. A GET may count against a limit of
   * pulls, a HEAD does not.
   */
  async headByDigest(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly record: ManifestRecord; readonly isUnstored: boolean } | undefined> {
    const text = contentText(key, digest);
    const unstored = this.#unstored.get(text);
    if (unstored !== undefined && this.#deps.rights.counts(key, unstored))
      return { record: unstored.record, isUnstored: true };
    this.#negativeCache.check(text);
    this.#negativeCache.check(headText(text));
    const work = (own: AbortSignal): Promise<UnstoredTags | undefined> =>
      this.#orAbsent(key, digest, () => this.#head(upstream, key, digest, own), true);
    try {
      const said = await this.#heads.run(text, work, signal);
      if (said !== undefined) this.unstored(key, said.record, said.shown);
      return said && { record: said.record, isUnstored: false };
    } catch (error) {
      // As a link would: nobody says that it counts no more.
      if (unstored !== undefined && isOutage(error)) return { record: unstored.record, isUnstored: true };
      throw error;
    }
  }

  /** The upstream has named this manifest in this repository, to HEAD of a tag perhaps. */
  unstored(key: RepositoryKey, record: ManifestRecord, shown: string | undefined): void {
    this.#unstored.set(contentText(key, record.digest), { record, shown });
  }

  /** Whatever the tag points to now. The caller sees to it that it is asked once. */
  async byTag(upstream: Upstream, key: RepositoryKey, tag: Tag, signal: AbortSignal): Promise<KeptManifest> {
    const body = await upstream.getManifest(key.repository, { kind: 'tag', tag }, signal);
    return this.#take(key, body, body.digest);
  }

  close(): void {
    this.#flights.close();
    this.#heads.close();
  }

  /** Remembers for moments that there is no such manifest. */
  async #orAbsent<T>(key: RepositoryKey, digest: Digest, work: () => Promise<T>, isHead = false): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isNotFound(error)) {
        const text = contentText(key, digest);
        // HEAD has no body and so no code, which a GET that follows has to be told.
        const asked = isHead && error.code === undefined ? headText(text) : text;
        this.#negativeCache.remember(asked, error, this.#deps.options.negativeTtlMs);
        this.#unstored.delete(text);
        this.#onAbsent(key, digest);
      }
      throw error;
    }
  }

  async #get(upstream: Upstream, key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<KeptManifest> {
    const body = await upstream.getManifest(key.repository, { kind: 'digest', digest }, signal);
    return this.#take(key, body, digest);
  }

  async #head(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<UnstoredTags | undefined> {
    const head = await upstream.headManifest(key.repository, { kind: 'digest', digest }, signal);
    const { mediaType = '', sizeBytes, digest: got = digest } = head;
    // A digest by another algorithm contradicts nothing.
    const isOther = digestAlgorithm(got) === digestAlgorithm(digest) && got !== digest;
    if (isOther || sizeBytes === undefined || !isManifestType(mediaType)) return undefined;
    if (provedBy(head, { kind: 'digest', digest }) === undefined) return undefined;
    this.#deps.rights.said(key, digest, 'manifest', head);
    return { record: { digest, mediaType, sizeBytes }, shown: head.shown };
  }

  async #take(key: RepositoryKey, body: ManifestBody, expected: Digest | undefined): Promise<KeptManifest> {
    const manifest = await proveManifest(body, expected);
    if ('kind' in manifest) {
      this.#deps.events.rejected({ reason: manifest.reason });
      throw new CacheError('mismatch', key.upstream, `${key.upstream}/${key.repository}: ${manifest.message}`);
    }
    const fetched = await this.#manifestStore.keep(manifest);
    const { digest, mediaType } = manifest;
    this.#deps.rights.gave(key, digest, 'manifest', { shown: body.shown, mediaType });
    this.#onFetched(key, fetched);
    return fetched;
  }
}

function headText(text: string): string {
  return `HEAD ${text}`;
}
