/**
 * Who waits for a fill, and what follows from that: its place among others that want a connection, what may be evicted for
 * it, and how long it goes on when nobody does.
 */
import type { Clock, Timer } from '../lib/clock.ts';
import { Party } from '../lib/sharing/party.ts';
import type { Reservation } from './space/reservation.ts';
import type { Deserted } from './deserted.ts';

/** How long a fill without clients goes on: one that comes, or comes back, meanwhile finds it running. */
const lingerMs = 30_000;
/** One with no more than this left is finished in any case. */
const finishBelowBytes = 64 * 1024 * 1024;

/** On what terms bytes are brought that no client has asked for. They end with the first one who does. */
export interface PrefetchTerms {
  /** What the manifest says; a larger blob is not brought. */
  readonly claimedBytes: number;
  /** Nothing that was used at this time, or later, is evicted for it. Epoch milliseconds. */
  readonly sparesSinceMs: number;
  /** Called when a client comes. */
  readonly onClient: () => void;
}

export interface AudienceOptions {
  readonly clock: Clock;
  readonly reservation: Reservation;
  /** Undefined for a fill that a client has asked for, who will be counted at once. */
  readonly prefetch: PrefetchTerms | undefined;
  readonly deserted: Deserted;
  readonly onAbandon: 'finish' | 'keep';
  /** Bytes that are still to come; undefined while that is unknown. */
  readonly leftBytes: () => number | undefined;
  /** Nobody waits for it, and it is not to go on. */
  readonly stop: () => void;
}

export class Audience {
  /** On whose behalf transfers wait for connections. */
  readonly party: Party;
  readonly #options: AudienceOptions;
  #terms: PrefetchTerms | undefined;
  #count = 0;
  #linger: Timer | undefined;
  #hasBegun = false;
  #leaveDeserted: (() => void) | undefined;
  #isClosed = false;

  constructor(options: AudienceOptions) {
    this.#options = options;
    this.#terms = options.prefetch;
    this.party = new Party(this.#terms === undefined ? 'normal' : 'low');
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

  /** Counts one of `client` until the returned function is called (once or more often). */
  attach(client: string): () => void {
    this.#count += 1;
    this.#cancel();
    this.#leaveDeserted?.();
    const leave = this.party.join(client);
    this.party.moveTo('normal');
    this.#options.reservation.spareNothing();
    this.#terms?.onClient();
    this.#terms = undefined;
    let isAttached = true;
    return () => {
      if (!isAttached) return;
      isAttached = false;
      this.#count -= 1;
      leave();
      if (this.#count > 0) return;
      this.#wait();
    };
  }

  /** Whoever wrote a manifest must not be able to make us fetch more than it says. */
  exceedsClaim(sizeBytes: number | undefined): boolean {
    return this.#terms !== undefined && (sizeBytes === undefined || sizeBytes > this.#terms.claimedBytes);
  }

  /** It waits for its first transfer, and has nothing yet that could be continued. */
  get isQueued(): boolean {
    return !this.#hasBegun;
  }

  /** It has leave to bring bytes. */
  begin(): void {
    this.#hasBegun = true;
  }

  /** Nothing follows any more from who is here; clients may still come and go. */
  close(): void {
    this.#isClosed = true;
    this.#cancel();
    this.#leaveDeserted?.();
  }

  #wait(): void {
    if (this.#isClosed) return;
    // What has not begun is no loss; but what was begun for nobody waits for its first client.
    if (!this.#hasBegun && !this.isPrefetch) this.#options.stop();
    else this.#linger = this.#options.clock.setTimer(lingerMs, () => this.#deserted());
  }

  /** With `keep` it stops, unless little is left to bring. With `finish` it makes way for others, if there are not too many. */
  #deserted(): void {
    const { deserted, onAbandon, leftBytes, stop } = this.#options;
    const isWorthFinishing =
      !this.isPrefetch && (onAbandon === 'finish' || (leftBytes() ?? Infinity) <= finishBelowBytes);
    this.#leaveDeserted = isWorthFinishing ? deserted.enter(this.party.lastClient) : undefined;
    if (this.#leaveDeserted !== undefined) this.party.moveTo('low');
    else stop();
  }

  #cancel(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
  }
}
