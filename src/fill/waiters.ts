/** Callers that wait for one result, each under a label by which some of them can be turned away early. */
import { abortReason } from '../lib/abort.ts';

interface Waiter<T> {
  readonly label: string;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export class Waiting<T> {
  readonly #waiters = new Set<Waiter<T>>();
  #result: { readonly value: T } | { readonly error: Error } | undefined;

  /** The result as soon as there is one. Rejects with the signal's reason, or with what its label was refused for. */
  wait(label: string, signal: AbortSignal): Promise<T> {
    const result = this.#result;
    if (result !== undefined) return 'value' in result ? Promise.resolve(result.value) : Promise.reject(result.error);
    if (signal.aborted) return Promise.reject(abortReason(signal));
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter<T> = {
        label,
        resolve: (value) => {
          leave();
          resolve(value);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => waiter.reject(abortReason(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  /** The first result stays. */
  resolve(value: T): void {
    if (this.#result !== undefined) return;
    this.#result = { value };
    for (const waiter of this.#waiters) waiter.resolve(value);
  }

  /** The next result is for all who ask from now on. */
  reset(): void {
    this.#result = undefined;
  }

  /** With a label: turns away those who wait under it. Without: everybody, also later ones. */
  reject(error: Error, label?: string): void {
    if (label !== undefined) {
      for (const waiter of this.#waiters) if (waiter.label === label) waiter.reject(error);
      return;
    }
    this.#result ??= { error };
    for (const waiter of this.#waiters) waiter.reject(error);
  }
}
