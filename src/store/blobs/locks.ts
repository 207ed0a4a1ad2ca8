/** One change at a time per digest. Looking does not lock: it waits for a change under way, and checks again after. */
import type { Digest } from '../../oci/digest.ts';

export class DigestLocks {
  readonly #tails = new Map<Digest, Promise<void>>();

  isHeld(digest: Digest): boolean {
    return this.#tails.has(digest);
  }

  /** Runs `change` after every change of that digest that was asked for earlier. */
  async run<T>(digest: Digest, change: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(digest);
    const { promise: tail, resolve: release } = Promise.withResolvers<void>();
    this.#tails.set(digest, tail);
    try {
      await before;
      return await change();
    } finally {
      if (this.#tails.get(digest) === tail) this.#tails.delete(digest);
      release();
    }
  }

  /** Resolves when nothing was changing the digest for a moment. */
  async settled(digest: Digest): Promise<void> {
    for (let tail = this.#tails.get(digest); tail !== undefined; tail = this.#tails.get(digest)) await tail;
  }
}
