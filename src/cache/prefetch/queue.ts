/** Which blobs start filling ahead of their clients, and when: a few at a time, the manifests taking turns. */
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import type { CacheEvents, FillResult, PrefetchResult } from '../../fill/contract/events.ts';
import type { FillTable } from '../../fill/fills.ts';

/** Fills without a client, per upstream. Enough for many small layers, each of which costs a round trip. */
const maxRunning = 16;
/** Of these together, so that large ones do not take the line from what a client waits for; a larger one runs alone. */
const maxRunningBytes = 32 * 1024 * 1024;
/** A client that has asked for nothing of a manifest for so long may have all that it wants. */
const patienceMs = 30_000;

/** More manifests than this at a time are more than will be got at before their clients have. The oldest go. */
const maxJobs = 64;

export interface WantedBlob {
  readonly digest: Digest;
  /** What the manifest says. */
  readonly claimedBytes: number;
}

export interface PrefetchRequest {
  readonly upstream: Upstream;
  readonly repository: Repository;
  /** In the order in which they will be asked for. */
  readonly blobs: readonly WantedBlob[];
  /** Epoch milliseconds. */
  readonly sparesSinceMs: number;
}

/** The blobs of one manifest that are still to be started. */
class Job {
  readonly request: PrefetchRequest;
  readonly waiting: WantedBlob[];
  /** Monotonic. */
  askedMs: number;

  constructor(request: PrefetchRequest, nowMs: number) {
    this.request = request;
    this.waiting = [...request.blobs];
    this.askedMs = nowMs;
  }

  get isOpen(): boolean {
    return this.waiting.length > 0;
  }

  end(): void {
    this.waiting.length = 0;
  }
}

/** What one upstream is being asked for. */
interface UpstreamQueue {
  readonly jobs: Set<Job>;
  /** Claimed sizes of what runs without a client. */
  readonly running: Map<Digest, number>;
}

export type PrefetchJob = Job;

export interface PrefetchQueueOptions {
  readonly metadata: Metadata;
  readonly fills: FillTable;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: CacheEvents;
}

export class PrefetchQueue {
  readonly #options: PrefetchQueueOptions;
  readonly #queues = new Map<string, UpstreamQueue>();
  #isClosed = false;

  constructor(options: PrefetchQueueOptions) {
    this.#options = options;
  }

  add(request: PrefetchRequest): Job {
    const job = new Job(request, this.#options.clock.monotonic());
    const queue = this.#queues.get(request.upstream.key) ?? { jobs: new Set(), running: new Map() };
    this.#queues.set(request.upstream.key, queue);
    this.#enter(queue, job);
    return job;
  }

  /** Its client has asked for another one of its blobs. */
  ask(job: Job): void {
    job.askedMs = this.#options.clock.monotonic();
    const queue = this.#queues.get(job.request.upstream.key);
    if (queue === undefined || queue.jobs.has(job) || !job.isOpen || this.#isClosed) return;
    this.#enter(queue, job);
  }

  close(): void {
    this.#isClosed = true;
    for (const { jobs } of this.#queues.values()) jobs.clear();
  }

  #enter(queue: UpstreamQueue, job: Job): void {
    for (const oldest of queue.jobs) if (queue.jobs.size >= maxJobs) queue.jobs.delete(oldest);
    queue.jobs.add(job);
    this.#pump(queue);
  }

  #pump(queue: UpstreamQueue): void {
    for (const job of queue.jobs) {
      const isLate = this.#options.clock.monotonic() - job.askedMs >= patienceMs;
      // What is not kept would be brought for nothing; whatever a client asks for shows when that is over.
      const isVain = isLate || this.#options.fills.isRefused;
      const blob = isVain ? undefined : this.#next(job);
      queue.jobs.delete(job);
      if (blob === undefined) continue;
      // Behind the others; the loop comes back to it as long as there is room.
      queue.jobs.add(job);
      if (!hasRoom(queue, blob.claimedBytes)) return;
      job.waiting.shift();
      this.#start(queue, job, blob);
    }
  }

  /** The first blob that is neither here nor coming. */
  #next(job: Job): WantedBlob | undefined {
    const { metadata, fills } = this.#options;
    const { upstream } = job.request;
    for (let blob = job.waiting[0]; blob !== undefined; blob = job.waiting[0]) {
      const isThere =
        metadata.blobs.get(blob.digest) !== undefined || fills.get(upstream.key, blob.digest) !== undefined;
      if (!isThere) return blob;
      job.waiting.shift();
    }
    return undefined;
  }

  #start(queue: UpstreamQueue, job: Job, { digest, claimedBytes }: WantedBlob): void {
    if (this.#isClosed) return;
    const { fills, events, logger } = this.#options;
    const { upstream, repository, sparesSinceMs } = job.request;
    const leave = (result: PrefetchResult): void => {
      if (!queue.running.delete(digest)) return;
      events.prefetchEnded({ upstream: upstream.key, result });
      this.#pump(queue);
    };
    const prefetch = { claimedBytes, sparesSinceMs, onClient: () => leave('joined') };
    try {
      const { fill } = fills.join({ upstream, digest, repository, firstRange: undefined, prefetch });
      queue.running.set(digest, claimedBytes);
      // Owned here: `done` never rejects.
      void fill.done.then((result) => {
        if (result !== 'stored') logger.debug({ digest, repository, upstream: upstream.key, result }, 'not prefetched');
        if (!mayGoOn(result)) job.end();
        leave(result === 'stored' ? 'stored' : 'dropped');
      });
    } catch (error) {
      // weir is shutting down.
      if (!(error instanceof CacheError)) throw error;
      job.end();
    }
  }
}

function hasRoom({ running }: UpstreamQueue, bytes: number): boolean {
  let runningBytes = 0;
  for (const size of running.values()) runningBytes += size;
  return running.size === 0 || (running.size < maxRunning && runningBytes + bytes <= maxRunningBytes);
}

/** What stands in the way of one blob of a manifest will stand in the way of the next. */
function mayGoOn(result: FillResult): boolean {
  return result === 'stored' || result === 'abandoned';
}
