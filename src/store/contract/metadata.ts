/** What the metadata of a store says: the records of `store/metadata`. */
import type { Digest } from '../../oci/digest.ts';
import type { Repository, Tag } from '../../oci/reference.ts';
import type { Origin } from './origin.ts';
import type { FileStamp } from './file-stamp.ts';

/** A manifest is never served as a blob nor a blob as a manifest, though both lie in one store. */
export type ContentKind = 'manifest' | 'blob';

export interface BlobRow {
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

export type ProvedBlob = Pick<BlobRow, 'digest' | 'sizeBytes' | 'allocatedBytes'> & {
  readonly stamp?: FileStamp | undefined;
};

export type SuspectBlob = Pick<BlobRow, 'digest' | 'sizeBytes' | 'allocatedBytes' | 'lastUsedMs'>;

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
