/**
 * The truth about meaning: which tag, which media type, which repository may serve a digest, when it was last used.
 * The file system is the truth about bytes. Implemented by `sqlite-catalog`; a lost catalog is rebuilt from blobs and
 * index.json.
 *
 * All calls are synchronous and cheap. Writes are visible to later reads of the same thread at once, and are committed
 * in batches (every 50 ms, and by `flush`); a kill may lose the last batch, which costs a re-check, never a wrong byte.
 */
import type { Digest } from '../oci/digest.ts';
import type { Repository, Tag } from '../oci/reference.ts';

/** A manifest is never served as a blob nor a blob as a manifest, though both lie in one store. */
export type ContentKind = 'manifest' | 'blob';

export interface SealedBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  /** Epoch milliseconds; never in the future (a clock that was set back is clamped). */
  readonly lastUsedMs: number;
  readonly isPinned: boolean;
  /** Found on disk after an unclean stop, and not proved since. */
  readonly isSuspect: boolean;
}

export interface ManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

export interface RepositoryKey {
  readonly upstream: string;
  readonly repository: Repository;
}

export interface TagKey extends RepositoryKey {
  readonly tag: Tag;
}

export interface TagRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Epoch milliseconds of the last answer of the upstream that confirmed this binding. */
  readonly checkedAtMs: number;
  /** The repository was denied (401, 403) since: kept, but not served until the upstream confirms it again. */
  readonly isDenied: boolean;
}

export interface ListingRecord {
  /** The body as weir keeps it (JSON text). */
  readonly body: string;
  readonly checkedAtMs: number;
}

export interface VerdictRecord {
  readonly isPublic: boolean;
  readonly checkedAtMs: number;
}

export interface Catalog {
  // --- blobs -------------------------------------------------------------------------------------------------------
  sealed(digest: Digest): SealedBlob | undefined;
  /** Proved bytes: used now, and suspect no more. Called by the blob store. */
  recordSealed(blob: { digest: Digest; sizeBytes: number; allocatedBytes: number }): void;
  /** A file that is there without a row. Never changes an existing row. Called by the blob store. */
  recordFound(blob: Omit<SealedBlob, 'isPinned'>): void;
  forgetSealed(digest: Digest): void;
  /** Marks a use now. Cheap enough for every hit. */
  touch(digest: Digest): void;
  /** The least recently used unpinned blobs, oldest first. */
  oldest(limit: number): readonly SealedBlob[];
  /** The same without an end, read in pages while it is consumed; blobs that are used meanwhile may be left out. */
  oldestFirst(): Iterable<SealedBlob>;
  totals(): { readonly blobs: number; readonly allocatedBytes: number };
  /** Pinned blobs are never among the `oldest`. Without effect on a blob that is not there. */
  setBlobPinned(digest: Digest, isPinned: boolean): void;

  // --- manifests ---------------------------------------------------------------------------------------------------
  manifest(digest: Digest): ManifestRecord | undefined;
  recordManifest(record: ManifestRecord): void;

  // --- links: proof that a repository may serve a digest -------------------------------------------------------------
  hasLink(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean;
  addLink(key: RepositoryKey, digest: Digest, kind: ContentKind): void;
  /** Repositories that hold a link to the digest, at most `limit`. */
  linksOf(digest: Digest, kind: ContentKind, limit: number): readonly RepositoryKey[];
  /** Drops all links and tags of a repository. */
  forgetRepository(key: RepositoryKey): void;

  // --- tags --------------------------------------------------------------------------------------------------------
  tag(key: TagKey): TagRecord | undefined;
  putTag(key: TagKey, record: TagRecord): void;
  forgetTag(key: TagKey): void;
  isTagPinned(key: TagKey): boolean;
  /** Without effect on a tag that is not there. */
  setTagPinned(key: TagKey, isPinned: boolean): void;
  tagsOf(key: RepositoryKey): readonly Tag[];
  /** Every cached tag, for index.json. */
  allTags(): Iterable<TagKey & TagRecord>;
  /** Repositories of an upstream with at least one link or tag, by byte, those behind the name `after`; read in pages. */
  repositoriesOf(upstream: string, after?: string): Iterable<RepositoryKey>;

  // --- listings (tags/list pages, referrers) and public verdicts ------------------------------------------------------
  listing(key: string): ListingRecord | undefined;
  putListing(key: string, record: ListingRecord): void;
  forgetListing(key: string): void;
  verdict(key: RepositoryKey): VerdictRecord | undefined;
  putVerdict(key: RepositoryKey, record: VerdictRecord): void;

  /** Called after each committed change of a tag, so that index.json can follow. */
  onTagsChanged(listener: () => void): void;
  flush(): void;
  close(): void;
}
