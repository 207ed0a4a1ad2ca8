/** Keyed single-flight for small promises: whoever asks while the work runs shares its result. Nothing is cached. */
import { abortable, abortReason } from './abort.ts';

export class Coalesce<V, K = string> {
  readonly #running = new Map<K, Promise<V>>();
  readonly #controller = new AbortController();

  /** Works in flight. */
  get size(): number {
    return this.#running.size;
  }

  has(key: K): boolean {
    return this.#running.has(key);
  }

  /**
   * Joins the work under `key`, or starts `work`. The signal that `work` gets belongs to this table (see `close`), not to
   * a caller: a caller's own signal only ends its waiting, and the work goes on for the others and for the next one.
   */
  run(key: K, work: (signal: AbortSignal) => Promise<V>, signal?: AbortSignal): Promise<V> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    return abortable(this.#running.get(key) ?? this.#start(key, work), signal);
  }

  /** Aborts all work in flight and every later one. Waiters see what their work makes of it. */
  close(reason: Error = new Error('closed')): void {
    this.#controller.abort(reason);
  }

  #start(key: K, work: (signal: AbortSignal) => Promise<V>): Promise<V> {
    // Entered before the work begins: a work that asks for its own key would wait for itself either way, but one that
    // fails synchronously must not leave an entry behind.
    const running = Promise.resolve()
      .then(() => work(this.#controller.signal))
      .finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return running;
  }
}
