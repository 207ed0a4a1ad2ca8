/** Time as a dependency: whatever waits or dates takes a Clock, so that tests can turn the hands themselves. */
import { abortReason } from './abort.ts';

export interface Timer extends Disposable {
  /** Idempotent, and harmless after the timer has fired. */
  cancel(): void;
}

export interface Clock {
  /** Wall time in epoch milliseconds. May jump in both directions. */
  now(): number;
  /** Milliseconds since an arbitrary start, never going back. For measuring, not for dates. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason if it aborts first. Leaves no timer behind. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /**
   * Calls `fire` once after `ms` milliseconds, of any length; 0 or less means as soon as possible, never synchronously.
   * The process waits for it, so the owner cancels it.
   */
  setTimer(ms: number, fire: () => void): Timer;
}

/** setTimeout takes 31 bits; a longer delay would fire at once. */
const longestTimeoutMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleepOn(systemClock, ms, signal),
  setTimer(ms, fire) {
    let handle: NodeJS.Timeout | undefined;
    const arm = (leftMs: number): void => {
      const step = Math.min(Math.max(leftMs, 0), longestTimeoutMs);
      handle = setTimeout(() => (leftMs > step ? arm(leftMs - step) : fire()), step);
    };
    arm(ms);
    const cancel = (): void => clearTimeout(handle);
    return { cancel, [Symbol.dispose]: cancel };
  },
};

/** `sleep` for any clock that has timers. */
export function sleepOn(clock: Pick<Clock, 'setTimer'>, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(abortReason(signal));
      return;
    }
    const timer = clock.setTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    const onAbort = (): void => {
      timer.cancel();
      if (signal !== undefined) reject(abortReason(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
