/**
 * The truth about meaning: which tag, which media type, which repository may serve a digest, when it was last used.
 * The file system is the truth about bytes. Implemented by `sqlite-catalog`; a lost catalog is rebuilt from blobs and
 * index.json.
 *
 * All calls are synchronous and cheap. Writes are visible to later reads of the same thread at once, and are committed
 * in batches (every 50 ms, and by `flush`); a kill may lose the last batch, which costs a re-check, never a wrong byte.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Repository, Tag } from '../../oci/reference.ts';
import type { Origin } from './origin.ts';
import type { FileStamp } from './file-stamp.ts';

/** A manifest is never served as a blob nor a blob as a manifest, though both lie in one store. */
export type ContentKind = 'manifest' | 'blob';

export interface SealedBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  /** Epoch milliseconds; never in the future (a clock that was set back is clamped). */
  readonly lastUsedMs: number;
  readonly isPinned: boolean;
  /** Found on disk, or changed there, and not proved since. */
  readonly isSuspect: boolean;
  /** Of the file when it was proved; undefined for suspects, stores without files, and rows of older weirs. */
  readonly stamp: FileStamp | undefined;
}

export interface ManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

export type LinkedManifest = RepositoryKey & ManifestRecord & { readonly origin: Origin };

export interface LinkRecord {
  readonly origin: Origin;
  /** Of a manifest, as it was given under this repository; undefined where nobody said. */
  readonly mediaType?: string | undefined;
}

/** Where the bytes of a blob came from, as one upstream sees it. */
export interface Provenance {
  /** Some upstream that sent them gave them, or answered 200 for them, to strangers. */
  readonly isPublic: boolean;
  /** This upstream has sent them. */
  readonly isOwn: boolean;
}

export interface RepositoryKey {
  readonly upstream: string;
  readonly repository: Repository;
}

export interface ListedRepository extends RepositoryKey {
  /** Some link of it counts for everybody. */
  readonly isPublic: boolean;
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
  /** It was not found (404) since: like denied, and what it was is served only while nobody can be asked. */
  readonly isGone?: true;
}

export interface ListingRecord {
  /** The body as weir keeps it (JSON text). */
  readonly body: string;
  readonly checkedAtMs: number;
}

export interface Catalog {
  // --- blobs -------------------------------------------------------------------------------------------------------
  sealed(digest: Digest): SealedBlob | undefined;
  /** Proved bytes: used now, and suspect no more. Called by the blob store. */
  recordSealed(blob: {
    digest: Digest;
    sizeBytes: number;
    allocatedBytes: number;
    stamp?: FileStamp | undefined;
  }): void;
  /** A file that nobody has proved: it gets a row, or its row stops to vouch for it. Called by the blob store. */
  recordSuspect(blob: Pick<SealedBlob, 'digest' | 'sizeBytes' | 'allocatedBytes' | 'lastUsedMs'>): void;
  /** The same bytes, as a file that is known again by this. Without effect on a row that is not there, or suspect. */
  restamp(digest: Digest, stamp: FileStamp): void;
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
  link(key: RepositoryKey, digest: Digest, kind: ContentKind): LinkRecord | undefined;
  hasLink(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean;
  /** A word that proves less than the one that is there changes nothing; an equal one replaces it. */
  addLink(key: RepositoryKey, digest: Digest, kind: ContentKind, word: LinkRecord): void;
  /** Repositories that hold a link to the digest, at most `limit`. */
  linksOf(digest: Digest, kind: ContentKind, limit: number): readonly RepositoryKey[];
  /** Links of an upstream that rest on a credential's word. Reads all of them. */
  countOfCredentials(upstream: string): number;
  /** Drops all links and tags of a repository. */
  forgetRepository(key: RepositoryKey): void;

  // --- bytes: who sent them, and what manifests name ------------------------------------------------------------------
  /** This upstream has sent the bytes; `isPublic` as strangers get them, which stays true once it is. */
  addSender(digest: Digest, upstream: string, isPublic: boolean): void;
  provenance(digest: Digest, upstream: string): Provenance;
  /** What a stored manifest names; undefined: too many to keep, so that the document has to be read. */
  recordEdges(parent: Digest, children: readonly Digest[] | undefined): void;
  /** The manifests of this repository that name the digest, with their links, as far as edges are kept; at most `limit`. */
  namedBy(key: RepositoryKey, child: Digest, limit: number): readonly (LinkRecord & { readonly digest: Digest })[];
  /** Manifests linked at the repository whose documents have to be read for that, with their links; at most `limit`. */
  unreadManifests(key: RepositoryKey, limit: number): readonly (LinkRecord & { readonly digest: Digest })[];
  /** Stored manifests that nobody has looked at yet, by digest, behind `after`; at most `limit`. */
  manifestsToRead(after: string, limit: number): readonly Digest[];

  // --- tags --------------------------------------------------------------------------------------------------------
  tag(key: TagKey): TagRecord | undefined;
  putTag(key: TagKey, record: TagRecord): void;
  forgetTag(key: TagKey): void;
  isTagPinned(key: TagKey): boolean;
  /** Without effect on a tag that is not there. */
  setTagPinned(key: TagKey, isPinned: boolean): void;
  tagsOf(key: RepositoryKey): readonly Tag[];
  /** Every cached tag, for index.json. */
  allTags(): Iterable<TagKey & TagRecord & { readonly origin: Origin }>;
  /** Stored and linked manifests that no other one leads to, in pages, for index.json; some have tags. */
  topManifests(): Iterable<readonly LinkedManifest[]>;
  /** Repositories of an upstream with at least one link, by byte, those behind the name `after`; read in pages. */
  repositoriesOf(upstream: string, after?: string): Iterable<ListedRepository>;

  // --- listings (tags/list pages, referrers) ---------------------------------------------------------------------
  listing(key: string): ListingRecord | undefined;
  putListing(key: string, record: ListingRecord): void;
  forgetListing(key: string): void;

  /** Called after each committed change of a tag or of a manifest's link, so that index.json can follow. */
  onTagsChanged(listener: () => void): void;
  flush(): void;
  close(): void;
}
