/**
 * Whether the store keeps what it is given, as its last word was. A root that lets files be written and gives none of
 * them its name (read-only since, no links and no renames, a disk that fails) looks well until the end of each fill: what
 * is brought ahead of clients would be brought for nothing then, and again for them.
 */
import type { StoreError } from '../../store/contract/blob-store.ts';

export class Keeping {
  #isRefused = false;

  /** The last blob that was proved, or should have been written, could not be kept, and not for want of room. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  kept(): void {
    this.#isRefused = false;
  }

  /** A full disk is no word: a smaller blob may fit, and eviction makes room. */
  failed(error: StoreError): void {
    if (error.kind === 'sick') this.#isRefused = true;
  }
}
