/** A token bucket on the real clock. Those who share it are served in order. */
export class RateLimit {
  readonly bytesPerSecond: number;
  /** The most that is taken at once. */
  readonly stepBytes: number;
  #freeAtMs = 0;

  constructor(bytesPerSecond: number, stepBytes: number = Math.max(1, Math.ceil(bytesPerSecond / 50))) {
    this.bytesPerSecond = bytesPerSecond;
    this.stepBytes = Math.min(stepBytes, 65_536);
  }

  /**
   * Resolves when `bytes` may go out: the first at once, the others when those before them are paid for. Unused time is
   * not saved up, apart from the 10 ms that make up for late timers.
   */
  async take(bytes: number): Promise<void> {
    const nowMs = performance.now();
    const startMs = Math.max(this.#freeAtMs, nowMs - 10);
    this.#freeAtMs = startMs + (bytes / this.bytesPerSecond) * 1000;
    if (startMs - nowMs >= 1) await new Promise((resolve) => setTimeout(resolve, startMs - nowMs));
  }
}
