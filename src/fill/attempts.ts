/**
 * Which attempt answers the clients of a fill. When one is given up and another will follow, those who were given no
 * byte of it move on, and whoever comes from then on waits for the next one.
 */
import type { BlobInfo } from '../store/contract/blob-store.ts';
import type { Attempt } from './attempt/attempt.ts';
import { Waiting } from './waiters.ts';

/** What those who wait for the head of a fill get. */
export type FillHead =
  /** The blob is, or was all the time, in the store. */
  | { readonly kind: 'stored'; readonly info: BlobInfo }
  /** The bytes come; `attempt` is where. */
  | { readonly kind: 'filling'; readonly attempt: Attempt }
  /** The store cannot take it: everybody for himself. */
  | { readonly kind: 'bypass' };

export class Attempts {
  readonly head = new Waiting<FillHead>();
  readonly #successors = new WeakMap<Attempt, Promise<Attempt>>();
  #awaited: { readonly broken: Attempt; readonly next: PromiseWithResolvers<Attempt> } | undefined;

  /** A broken attempt was announced and the next one has not begun. */
  get isAwaited(): boolean {
    return this.#awaited !== undefined;
  }

  /** The attempt that follows a broken one; undefined when none does. Rejects when it fails to come up. */
  of(broken: Attempt): Promise<Attempt> | undefined {
    return this.#successors.get(broken);
  }

  /** To be called before `broken` is broken: another one will follow it. */
  announce(broken: Attempt): void {
    const next = Promise.withResolvers<Attempt>();
    // Nobody may be waiting for it; then its failure is the fill's, which is reported elsewhere.
    next.promise.catch(() => undefined);
    this.#successors.set(broken, next.promise);
    this.#awaited = { broken, next };
    this.head.reset();
  }

  begin(attempt: Attempt): void {
    if (this.#awaited === undefined) return;
    const { broken, next } = this.#awaited;
    this.#awaited = undefined;
    // Readers of the broken one may move on much later, when this one's own time is over.
    attempt.hold();
    broken.onReleased(() => attempt.release());
    next.resolve(attempt);
  }

  /** No attempt begins any more. */
  end(failure: Error): void {
    this.#awaited?.next.reject(failure);
    this.#awaited = undefined;
  }
}
