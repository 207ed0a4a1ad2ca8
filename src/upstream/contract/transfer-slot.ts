/** The leave to bring one blob, as it is given and used. */
import type { Clock } from '../../lib/clock.ts';
import type { Party } from '../../lib/sharing/party.ts';
import type { SlotTerms } from '../../lib/sharing/slot.ts';
import type { PatienceFlag } from './patience.ts';

export type TransferTerms = Omit<SlotTerms, 'onWanted'>;

/** One transfer's leave. Whoever opens a body with it gives it to that. */
export interface TransferSlot {
  /** Aborts when it is wanted for somebody else: what it is used for must end then. Its reason is `preempted`. */
  readonly wanted: AbortSignal;
  readonly party: Party;
  /** Somebody whom a client waits for waits for a slot. */
  isContended(): boolean;
  /**
   * Whether what is brought with it may stand still: while it could not be continued, somebody waits for it, and nobody
   * for its slot. Up to date until `release`.
   */
  patience(clock: Pick<Clock, 'setTimer'>): PatienceFlag;
  /** No head has come for long: gives its slot back and waits on beside them, if there is a place for that. */
  stepAside(): void;
  /** A head has come: takes a slot again, if one is free. */
  stepBack(): void;
  /** Idempotent. */
  release(): void;
}
