/** What somebody who wants a slot of `Shares` says, and hears when there is no place left to wait for one. */
import type { Party } from './party.ts';

export interface SlotTerms {
  readonly party: Party;
  /** It has begun already: before everything else of its client's. */
  readonly isContinued?: boolean | undefined;
  /** It can give its slot back and go on later without having lost anything. Default: always. */
  readonly mayBeTaken?: (() => boolean) | undefined;
  /** Called at most once, to have the slot back. */
  readonly onWanted?: () => void;
}

/** More than `mostWaiting` wanted a slot, and this one's client wanted the most. */
export class CrowdedError extends Error {
  constructor() {
    super('too many wait for a slot');
    this.name = 'CrowdedError';
  }
}
