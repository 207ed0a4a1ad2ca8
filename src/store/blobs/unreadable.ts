/**
 * Blobs whose files cannot be read although they are there: no rights, a bad sector. They count as absent for a while, so
 * that they are fetched, and what is fetched takes their place; then the file gets another chance.
 */
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';

const restMs = 60_000;
/** A disk that fails altogether is not remembered blob by blob. */
const mostRemembered = 4096;

export class Unreadable {
  readonly #until = new Map<Digest, number>();
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #isTold = new Set<Digest>();
  #count = 0;

  constructor(logger: Logger, now: () => number) {
    this.#logger = logger;
    this.#now = now;
  }

  /** How often a blob turned out so. */
  get count(): number {
    return this.#count;
  }

  has(digest: Digest): boolean {
    const untilMs = this.#until.get(digest);
    if (untilMs === undefined) return false;
    if (this.#now() < untilMs) return true;
    this.#until.delete(digest);
    return false;
  }

  /** Said once for each blob. */
  add(digest: Digest, error: unknown): void {
    if (this.#until.size >= mostRemembered) this.#until.clear();
    this.#until.set(digest, this.#now() + restMs);
    this.#count++;
    if (this.#isTold.has(digest) || this.#isTold.size >= mostRemembered) return;
    this.#isTold.add(digest);
    this.#logger.error({ digest, err: error }, 'a stored blob cannot be read; it is fetched anew');
  }

  /** Another file has taken its place. */
  delete(digest: Digest): void {
    this.#until.delete(digest);
    this.#isTold.delete(digest);
  }
}
