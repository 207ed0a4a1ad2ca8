/**
 * Who waits for a fill, and what follows from that: its place among others that want a connection, what may be evicted for
 * it, and how long it goes on when nobody does.
 */
import type { Clock, Timer } from '../lib/clock.ts';
import { MovingLane } from '../lib/lane.ts';
import type { Allotment } from './allotment.ts';

/** How long a fill without clients goes on: one that comes, or comes back, meanwhile finds it running. */
const lingerMs = 30_000;

/** On what terms bytes are brought that no client has asked for. They end with the first one who does. */
export interface PrefetchTerms {
  /** What the manifest says; a larger blob is not brought. */
  readonly claimedBytes: number;
  /** Nothing that was used at this time, or later, is evicted for it. Epoch milliseconds. */
  readonly sparesSinceMs: number;
  /** Called when a client comes. */
  readonly onClient: () => void;
}

export interface AttendanceOptions {
  readonly clock: Clock;
  readonly allotment: Allotment;
  /** Undefined for a fill that a client has asked for, who will be counted at once. */
  readonly prefetch: PrefetchTerms | undefined;
  readonly onDeserted: () => void;
}

export class Attendance {
  /** Where transfers wait for connections. */
  readonly lane: MovingLane;
  readonly #options: AttendanceOptions;
  #terms: PrefetchTerms | undefined;
  #count = 0;
  #linger: Timer | undefined;
  #isClosed = false;

  constructor(options: AttendanceOptions) {
    this.#options = options;
    this.#terms = options.prefetch;
    this.lane = new MovingLane(this.#terms === undefined ? 'normal' : 'low');
    if (this.#terms !== undefined) this.#wait();
  }

  /** No client has come for it yet. */
  get isPrefetch(): boolean {
    return this.#terms !== undefined;
  }

  /** Some client is here now. */
  get isAttended(): boolean {
    return this.#count > 0;
  }

  /** Counts a client until the returned function is called (once or more often). */
  attach(): () => void {
    this.#count += 1;
    this.#cancel();
    this.lane.moveTo('normal');
    this.#options.allotment.spareNothing();
    this.#terms?.onClient();
    this.#terms = undefined;
    let isAttached = true;
    return () => {
      if (!isAttached) return;
      isAttached = false;
      this.#count -= 1;
      if (this.#count === 0) this.#wait();
    };
  }

  /** Whoever wrote a manifest must not be able to make us fetch more than it says. */
  exceedsClaim(sizeBytes: number | undefined): boolean {
    return this.#terms !== undefined && (sizeBytes === undefined || sizeBytes > this.#terms.claimedBytes);
  }

  /** Nobody is told any more; clients may still come and go. */
  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #wait(): void {
    if (!this.#isClosed) this.#linger = this.#options.clock.setTimer(lingerMs, this.#options.onDeserted);
  }

  #cancel(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
  }
}
