/**
 * How much the primary transfer of a fill asks for at a time while clients want parts: whoever wants a byte of that waits for it,
 * and lazy pullers wait for a few seconds only (nydusd: 5 s for all of an answer). So it is what came lately in half a
 * second: large where the upstream is fast and a round trip is dear, small where it is slow.
 */
const firstBytes = 1024 * 1024;
const leastBytes = 512 * 1024;
const mostBytes = 8 * 1024 * 1024;
const targetMs = 500;

export class ChunkSize {
  #bytes = firstBytes;

  /** What to ask for next. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `bytes` have come in `ms` milliseconds, the wait for the first of them included. */
  took(bytes: number, ms: number): void {
    const wanted = ms > 0 ? Math.round((bytes * targetMs) / ms) : mostBytes;
    this.#bytes = Math.min(mostBytes, Math.max(leastBytes, wanted));
  }
}
