/** How many upstream connections fills may use, and what was learnt about how many are worth it. One per cache. */
import type { Clock } from '../../lib/clock.ts';
import { Semaphore } from '../../lib/semaphore.ts';

/** Connections of all fills together beyond the first of each. */
const maxOpportunistic = 32;
/** Networks change: what was learnt is found out anew after so long. */
const learntMs = 10 * 60_000;

export interface FillConnectionsOptions {
  /** For one fill, at most. */
  readonly perFill: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** For how many milliseconds the thread that moves bytes has been busy. Default: this thread. */
  readonly busyMs?: () => number;
}

export class FillConnections {
  readonly perFill: number;
  readonly busyMs: () => number;
  /** Taken, if there is one, for each connection that a fill can do without. */
  readonly opportunistic = new Semaphore(maxOpportunistic);
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #learnt = new Map<string, { readonly connections: number; readonly untilMs: number }>();

  constructor({ perFill, clock, busyMs }: FillConnectionsOptions) {
    this.perFill = perFill;
    this.busyMs = busyMs ?? ((): number => performance.eventLoopUtilization().active);
    this.#clock = clock;
  }

  /** How many to begin with; undefined: to be found out. One means that more cannot be had. */
  learnt(upstream: string): number | undefined {
    const known = this.#learnt.get(upstream);
    if (known === undefined || known.untilMs > this.#clock.monotonic()) return known?.connections;
    this.#learnt.delete(upstream);
    return undefined;
  }

  learn(upstream: string, connections: number): void {
    this.#learnt.set(upstream, { connections, untilMs: this.#clock.monotonic() + learntMs });
  }
}
