/**
 * The façade of the cache: what `http` asks and what it gets. Answers are plain values and positional readers, never
 * streams, so that another thread can serve them.
 */
import type { Stamp } from '../../lib/change-counters.ts';
import type { Digest } from '../../oci/digest.ts';
import type { PackedRanges } from '../../headers/packed-ranges.ts';
import type { Reference, Repository } from '../../oci/reference.ts';
import type { BlobView } from '../../fill/contract/blob-view.ts';
import type { Outcome } from '../../headers/cache-status.ts';

/** A repository of a configured upstream, after routing. */
export interface RepositoryQuery {
  readonly upstream: string;
  readonly repository: Repository;
}

/** Tells requests of one client from those of others as well as can be, so that each has its share; no right hangs on it. */
export interface FromClient {
  /** As `clientAddress` writes it. Undefined: nobody asked, or nobody knows who. */
  readonly client?: string | undefined;
}

export interface ManifestQuery extends RepositoryQuery, FromClient {
  readonly reference: Reference;
  /** `head` must not cost the upstream more than a HEAD where that is enough. */
  readonly method: 'get' | 'head';
}

export interface ManifestAnswer {
  readonly digest: Digest;
  /** Without parameters. */
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** The exact bytes; there for `get`, and may be there for `head`. */
  readonly bytes: Uint8Array | undefined;
  /** Stands for bytes that are too many to be held for a client. The caller closes it. */
  readonly body?: BlobView;
  readonly outcome: Outcome;
}

export interface BlobQuery extends RepositoryQuery, FromClient {
  readonly digest: Digest;
  readonly method: 'get' | 'head';
  /** The parsed Range header; undefined for the whole blob. The first one decides what a cold fill fetches first. */
  readonly ranges: PackedRanges | undefined;
}

export type PeekQuery =
  | ({ readonly kind: 'manifest' } & ManifestQuery)
  | ({ readonly kind: 'blob' } & Omit<BlobQuery, 'ranges'>);

/**
 * A hit that may be given again from memory, by any thread and without asking, while the lease holds: for at most
 * `holdsMs` milliseconds, and only as long as `stamp` is current.
 */
export interface LeasedAnswer extends Omit<ManifestAnswer, 'mediaType'> {
  /** Undefined for blobs. */
  readonly mediaType: string | undefined;
  readonly stamp: Stamp;
  readonly holdsMs: number;
  /** When the answer stops being fresh, in milliseconds from now: what `ttl` counts down to. Undefined: never. */
  readonly freshMs: number | undefined;
}

export interface TagsQuery extends RepositoryQuery, FromClient {
  /** At most this many; undefined: the upstream's own page size. */
  readonly n: number | undefined;
  readonly last: string | undefined;
}

/** Stands for a list that is too long to be held for a client: the array as JSON. The caller closes it. */
interface LongList {
  readonly items?: BlobView;
}

export interface TagsAnswer extends LongList {
  /** Empty where `items` stands for them. */
  readonly tags: readonly string[];
  /** Query of the next page, or undefined when this is the last. */
  readonly next: { readonly n: number | undefined; readonly last: string } | undefined;
  readonly outcome: Outcome;
}

export interface ReferrersQuery extends RepositoryQuery, FromClient {
  readonly digest: Digest;
  readonly artifactType: string | undefined;
  readonly n: number | undefined;
  readonly last: string | undefined;
}

export interface ReferrersAnswer extends LongList {
  /**
   * Descriptors as the upstream gave them, filtered by artifactType when one was asked for, one page. Empty where `items`
   * stands for them.
   */
  readonly manifests: readonly unknown[];
  readonly next: { readonly n: number; readonly last: string } | undefined;
  readonly isFiltered: boolean;
  readonly outcome: Outcome;
}

export interface CatalogQuery {
  /** Only this upstream's repositories (the client named a namespace), under their own names. */
  readonly upstream: string | undefined;
  readonly n: number | undefined;
  readonly last: string | undefined;
}

export interface CatalogAnswer extends LongList {
  /** `<upstream>/<repository>`, or plain repositories when one upstream was named; sorted. Empty where `items` stands for them. */
  readonly repositories: readonly string[];
  readonly next: { readonly n: number; readonly last: string } | undefined;
}

/** Every call rejects with CacheError or UpstreamError; a signal cancels only this caller's waiting. */
export interface Cache {
  manifest(query: ManifestQuery, signal: AbortSignal): Promise<ManifestAnswer>;
  blob(query: BlobQuery, signal: AbortSignal): Promise<BlobView>;
  tags(query: TagsQuery, signal: AbortSignal): Promise<TagsAnswer>;
  referrers(query: ReferrersQuery, signal: AbortSignal): Promise<ReferrersAnswer>;
  catalog(query: CatalogQuery, signal: AbortSignal): Promise<CatalogAnswer>;
  /**
   * What `manifest` or `blob` would answer, if that is a hit that fits in memory and may be leased; undefined for
   * everything else. Asks no upstream and changes nothing. `bytes` are there for `get`. Never rejects.
   */
  peek(query: PeekQuery): Promise<LeasedAnswer | undefined>;
}
