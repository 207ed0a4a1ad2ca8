/**
 * Questions that have to wait for their gates. Who passes first: one that has not failed before one that has; then the
 * client address whose last turn is longest ago; then the one whose failure is oldest; then who came first.
 */
import { abortReason } from '../../lib/abort.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Gate } from './gate.ts';

export interface Waiting {
  readonly gates: readonly Gate[];
  /** Address of the client. */
  readonly client: string;
  /** When this question failed last, monotonic. Looked at when somebody may pass. */
  readonly failedAtMs: () => number | undefined;
  /** Monotonic time at which its patience ends. */
  readonly endsAtMs: number;
  /** What it is told then, and when there are too many. */
  readonly late: () => Error;
  /** Why it need not wait any longer: it is answered by this. */
  readonly refusal: () => Error | undefined;
}

interface Waiter extends Waiting {
  readonly number: number;
  readonly pass: () => void;
  readonly refuse: (error: Error) => void;
}

const maxWaiting = 1_000;
/** Whose turn it was, of clients that are long gone, is forgotten. */
const maxTurns = 4_096;

export class Turnstile {
  readonly #clock: Pick<Clock, 'monotonic' | 'setTimer'>;
  readonly #waiters = new Set<Waiter>();
  /** The number of the last turn of each client. */
  readonly #turns = new Map<string, number>();
  #timer: Timer | undefined;
  #count = 0;

  constructor(clock: Pick<Clock, 'monotonic' | 'setTimer'>) {
    this.#clock = clock;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Resolves when it may pass, at once where nothing holds it back. Rejects with `refusal`, `late` or the signal's reason. */
  pass(waiting: Waiting, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonic();
    if (opensAt(waiting) <= nowMs) {
      this.#enter(waiting);
      return Promise.resolve();
    }
    if (signal.aborted) return Promise.reject(abortReason(signal));
    if (!this.#makeRoom(waiting.client)) return Promise.reject(waiting.late());
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        ...waiting,
        number: ++this.#count,
        pass: () => {
          leave();
          this.#enter(waiting);
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => {
        waiter.refuse(abortReason(signal));
        this.wake();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      this.wake();
    });
  }

  /** Something has changed: looks who may pass now, and when next. */
  wake(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const waiter of this.#waiters) {
      const error = waiter.refusal();
      if (error !== undefined) waiter.refuse(error);
    }
    for (let next = this.#next(); next !== undefined; next = this.#next()) next.pass();
    const nowMs = this.#clock.monotonic();
    let wakeAtMs = Infinity;
    for (const waiter of this.#waiters) {
      if (waiter.endsAtMs <= nowMs) waiter.refuse(waiter.late());
      else wakeAtMs = Math.min(wakeAtMs, Math.max(opensAt(waiter), nowMs), waiter.endsAtMs);
    }
    if (this.#waiters.size === 0) return;
    this.#timer = this.#clock.setTimer(Math.max(1, wakeAtMs - nowMs), () => this.wake());
  }

  #next(): Waiter | undefined {
    const nowMs = this.#clock.monotonic();
    let best: Waiter | undefined;
    for (const waiter of this.#waiters) {
      if (opensAt(waiter) <= nowMs && (best === undefined || this.#isBefore(waiter, best))) best = waiter;
    }
    return best;
  }

  #isBefore(a: Waiter, b: Waiter): boolean {
    const [aFailedMs, bFailedMs] = [a.failedAtMs(), b.failedAtMs()];
    if ((aFailedMs === undefined) !== (bFailedMs === undefined)) return aFailedMs === undefined;
    const turns = (this.#turns.get(a.client) ?? 0) - (this.#turns.get(b.client) ?? 0);
    if (turns !== 0) return turns < 0;
    const ages = (aFailedMs ?? 0) - (bFailedMs ?? 0);
    return ages === 0 ? a.number < b.number : ages < 0;
  }

  #enter({ gates, client }: Waiting): void {
    for (const gate of gates) gate.passed();
    this.#turns.delete(client);
    this.#turns.set(client, ++this.#count);
    if (this.#turns.size > maxTurns) this.#turns.delete(this.#turns.keys().next().value ?? '');
  }

  /** False when all places are taken, and nobody takes more of them than this client would. */
  #makeRoom(client: string): boolean {
    if (this.#waiters.size < maxWaiting) return true;
    const counts = new Map<string, number>();
    for (const waiter of this.#waiters) counts.set(waiter.client, (counts.get(waiter.client) ?? 0) + 1);
    const [greediest, most] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
    if (most <= (counts.get(client) ?? 0) + 1) return false;
    const last = [...this.#waiters].findLast((waiter) => waiter.client === greediest);
    last?.refuse(last.late());
    return true;
  }
}

function opensAt({ gates }: Waiting): number {
  return gates.reduce((latest, { opensAtMs }) => Math.max(latest, opensAtMs), -Infinity);
}
