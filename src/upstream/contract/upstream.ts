/**
 * One configured remote registry as the cache sees it. Implemented by `registry-client`. Every call does its own
 * authentication, redirects, endpoint fail-over and deadlines (connect 3 s, TLS 5 s, token 10 s, head 60 s in all unless
 * configured otherwise, body idle 60 s and 16 KiB/s over 60 s, or an hour's patience where it could not be continued) and
 * rejects with UpstreamError only. `behind` says for whom it is: whoever waits in a queue waits in turn with other client
 * addresses.
 */
import type { Party } from '../../lib/sharing/party.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Reference, Repository } from '../../oci/reference.ts';
import type { ExchangeWorker, WorkerBody } from './worker-protocol.ts';
import type { Behind } from './question.ts';
import type { TransferSlot, TransferTerms } from './transfer-slot.ts';

/** A byte range to ask for: closed (`end` exclusive), open-ended, or the last `suffixBytes`. */
export type AskedRange =
  | { readonly kind: 'closed'; readonly start: number; readonly end: number }
  | { readonly kind: 'suffix'; readonly suffixBytes: number };

/** Of every answer. */
export interface Shown {
  /**
   * The place of the credential (`placeOf`), or `certificate`, that was shown on the way to this answer. Absent: anybody
   * gets it.
   */
  readonly shown?: string;
}

export interface BlobStat extends Shown {
  /** Undefined when nobody says. */
  readonly sizeBytes: number | undefined;
}

/** What a HEAD of a manifest told; each header may be missing upstream. */
export interface ManifestHead extends Shown {
  readonly digest: Digest | undefined;
  /** Without parameters; undefined when absent. */
  readonly mediaType: string | undefined;
  readonly sizeBytes: number | undefined;
  /** A place outside of the registry said it, to which any page may belong. */
  readonly isElsewhere?: true;
}

/** The whole manifest as the upstream sent it, at most 4 MiB. `digest` is its header's word, not a proof. */
export interface ManifestBody extends ManifestHead {
  readonly bytes: Uint8Array;
}

export interface BlobBody extends Shown {
  /** Names the endpoint that answered (its URL origin and path), for `avoidEndpoints`. */
  readonly endpoint: string;
  /**
   * `whole`: status 200, from byte 0; `sizeBytes` is its Content-Length, undefined when the upstream gave none.
   * `part`: status 206 whose Content-Range is exactly what was asked (a closed range may be clipped at `totalBytes`).
   */
  readonly answer:
    | { readonly kind: 'whole'; readonly sizeBytes: number | undefined }
    | { readonly kind: 'part'; readonly start: number; readonly end: number; readonly totalBytes: number };
  /**
   * The bytes. Throws UpstreamError (`cut`, `timeout`) when the body breaks, stalls or ends before its declared length;
   * never yields more than declared. Leaving the loop early destroys the connection.
   */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Destroys the connection; idempotent. Needed only when `chunks` was never iterated. */
  abort(): void;
  /** Only where the exchange is on a line: takes the body for moving it there, in place of `chunks` and `abort`. */
  readonly toWorker?: () => WorkerBody;
}

export interface BlobRequest {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly range?: AskedRange;
  /** Endpoints not to use while another one is left. */
  readonly avoidEndpoints?: ReadonlySet<string>;
  /** A thread that should carry the exchange. Where that is not possible it is carried as if none were given. */
  readonly worker?: ExchangeWorker | undefined;
  /**
   * On whose behalf. Default: some client waits. A connection can be taken away again in favour of others: the call or its
   * body then ends with `preempted`.
   */
  readonly party?: Party;
  readonly isContinued?: boolean;
  readonly mayBeTaken?: (() => boolean) | undefined;
  /** Of `transfer`, to be used instead of waiting for one. It is the call's from now on, whatever becomes of that. */
  readonly slot?: TransferSlot | undefined;
  /**
   * One more beside a transfer of this blob that is running: rejects with `rateLimited` (without status) when no
   * connection is free or bandwidth is limited, and what it is refused says nothing about the upstream as a whole.
   */
  readonly isOpportunistic?: boolean;
}

/** One page of a listing (tags/list or referrers) as the upstream gave it. */
export interface ListingPage extends Shown {
  readonly bytes: Uint8Array;
  readonly contentType: string | undefined;
  /** Path and query of the next page on the upstream, from its Link header. */
  readonly next: string | undefined;
}

export interface Upstream {
  /** The configured key, e.g. `docker.io`; names the upstream in every key, log line and metric label. */
  readonly key: string;
  /** Some credential is configured, so an answer may be one that an anonymous client would not get. */
  readonly hasCredential: boolean;
  /** Whether what is configured now may answer as this place (`Shown.shown`), as far as is known without reading. */
  isAt(place: string): boolean;
  /** Monotonic time of its last answer to anything (a failure or a limit is none); -Infinity before the first one. */
  readonly answeredAtMs?: number | undefined;
  headManifest(
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ManifestHead>;
  getManifest(
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ManifestBody>;
  /**
   * Opens a blob. With a range: an exact 206 gives `part`; a 200 gives `whole` (the upstream ignores Range; the caller
   * decides whether to use it); any other odd answer rejects with `rangeRefused`.
   */
  openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody>;
  /** Waits for leave to open a blob, and asks nothing. Rejects with `aborted`, or `exhausted` when too many wait. */
  transfer(terms: TransferTerms, signal: AbortSignal): Promise<TransferSlot>;
  /** Size of a blob, by HEAD; where HEAD is refused (401, 403, 404, 405, 5xx) by `bytes=0-0`. Proves the repository has it. */
  statBlob(repository: Repository, digest: Digest, signal: AbortSignal, behind?: Behind): Promise<BlobStat>;
  /** `path` continues a listing: the `next` of its previous page. */
  listTags(
    repository: Repository,
    page: { n?: number; last?: string; path?: string },
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ListingPage>;
  /** Rejects with `unsupported` when the upstream has no referrers API. */
  listReferrers(
    repository: Repository,
    digest: Digest,
    page: { path?: string },
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ListingPage>;
  /** Ends pools and timers. Idempotent. */
  close(): Promise<void>;
}

/** What upstream traffic reports; metrics implements it. Called synchronously, must not throw. */
export interface UpstreamEvents {
  upstreamRequest(event: { upstream: string; status: number | 'error'; seconds: number }): void;
  upstreamBytes(event: { upstream: string; bytes: number }): void;
  rateLimitRemaining(event: { upstream: string; remaining: number }): void;
  breakerChanged(event: { upstream: string; isOpen: boolean }): void;
  upstreamRejected(event: { upstream: string; reason: string }): void;
}
