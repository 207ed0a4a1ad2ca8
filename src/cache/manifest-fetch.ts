/** Bringing manifests from upstream: proved, stored, linked, in this order. */
import { Coalesce } from '../lib/coalesce.ts';
import { type Digest, digestAlgorithm } from '../oci/digest.ts';
import { isManifestType } from '../oci/media-type.ts';
import type { Tag } from '../oci/reference.ts';
import type { ManifestRecord, RepositoryKey } from '../store/catalog.ts';
import { byAnybody } from '../store/origin.ts';
import type { ManifestBody, Upstream } from '../upstream/upstream.ts';
import { CacheError } from './errors.ts';
import { contentText } from './keys.ts';
import { proveManifest } from './manifest-check.ts';
import type { KeptManifest, ManifestShelf } from './manifest-shelf.ts';
import { Negatives } from './negative.ts';
import type { PolicyDeps } from './policy-deps.ts';
import { isNotFound } from './refusals.ts';

type FetchDeps = Pick<PolicyDeps, 'catalog' | 'events' | 'logger' | 'clock' | 'options'>;

export class ManifestFetch {
  readonly #deps: FetchDeps;
  readonly #shelf: ManifestShelf;
  readonly #flights = new Coalesce<KeptManifest>();
  readonly #heads = new Coalesce<ManifestRecord | undefined>();
  readonly #negatives: Negatives;
  /** Called when a repository has got a manifest. */
  readonly #onFetched: (key: RepositoryKey, fetched: KeptManifest) => void;

  constructor(deps: FetchDeps, shelf: ManifestShelf, onFetched: (key: RepositoryKey, fetched: KeptManifest) => void) {
    this.#deps = deps;
    this.#shelf = shelf;
    this.#negatives = new Negatives(deps.clock);
    this.#onFetched = onFetched;
  }

  /** One GET for all who ask through the same repository at the same time; `signal` ends only the waiting. */
  async byDigest(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<KeptManifest & { readonly isCollapsed: boolean }> {
    const text = contentText(key, digest);
    this.#negatives.check(text);
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
  ): Promise<ManifestRecord | undefined> {
    const text = contentText(key, digest);
    this.#negatives.check(text);
    const work = (own: AbortSignal): Promise<ManifestRecord | undefined> =>
      this.#orAbsent(key, digest, () => this.#head(upstream, key, digest, own));
    return this.#heads.run(text, work, signal);
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
  async #orAbsent<T>(key: RepositoryKey, digest: Digest, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isNotFound(error)) {
        this.#negatives.remember(contentText(key, digest), error, this.#deps.options.negativeTtlMs);
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
  ): Promise<ManifestRecord | undefined> {
    const head = await upstream.headManifest(key.repository, { kind: 'digest', digest }, signal);
    const { mediaType = '', sizeBytes, digest: got = digest } = head;
    // A digest by another algorithm contradicts nothing.
    const isOther = digestAlgorithm(got) === digestAlgorithm(digest) && got !== digest;
    if (isOther || sizeBytes === undefined || !isManifestType(mediaType)) return undefined;
    this.#deps.catalog.addLink(key, digest, 'manifest', { origin: byAnybody, mediaType });
    return { digest, mediaType, sizeBytes };
  }

  async #take(key: RepositoryKey, body: ManifestBody, expected: Digest | undefined): Promise<KeptManifest> {
    const manifest = proveManifest(body, expected);
    if ('kind' in manifest) {
      this.#deps.events.rejected({ reason: manifest.reason });
      throw new CacheError('mismatch', key.upstream, `${key.upstream}/${key.repository}: ${manifest.message}`);
    }
    const fetched = await this.#shelf.keep(manifest);
    const { digest, mediaType } = manifest;
    this.#deps.catalog.addLink(key, digest, 'manifest', { origin: byAnybody, mediaType });
    this.#onFetched(key, fetched);
    return fetched;
  }
}
