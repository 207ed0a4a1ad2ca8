/**
 * Buffers for bodies. Large ones make a fast transfer cheap, but whoever stops reading keeps the one that is on its way,
 * so there are only so many; when they are out, the next transfer goes on with small ones. Small ones are never refused:
 * that is the price of a reader, however slow.
 */
export const smallBufferBytes = 64 * 1024;
export const largeBufferBytes = 256 * 1024;

/** Small buffers kept for reuse; more than that go back to the garbage collector. */
const maxIdleSmall = 64;
/** Large ones that stay allocated when nobody uses them. */
const maxIdleLarge = 16;

export class BufferPool {
  readonly #idleSmall: Buffer[] = [];
  readonly #idleLarge: Buffer[] = [];
  readonly #maxLarge: number;
  #smallInUse = 0;
  #largeInUse = 0;

  /** At most `maxLargeBytes` in large buffers, rounded down. */
  constructor(maxLargeBytes: number = 32 * 1024 * 1024) {
    this.#maxLarge = Math.floor(maxLargeBytes / largeBufferBytes);
  }

  /** Bytes that are out. */
  get bytesInUse(): number {
    return this.#smallInUse * smallBufferBytes + this.#largeInUse * largeBufferBytes;
  }

  takeSmall(): Buffer {
    this.#smallInUse++;
    return this.#idleSmall.pop() ?? Buffer.allocUnsafeSlow(smallBufferBytes);
  }

  /** A large buffer if one is free, else a small one. */
  takeLarge(): Buffer {
    if (this.#largeInUse >= this.#maxLarge) return this.takeSmall();
    this.#largeInUse++;
    return this.#idleLarge.pop() ?? Buffer.allocUnsafeSlow(largeBufferBytes);
  }

  /** Gives back a buffer that nothing reads or writes any more. */
  release(buffer: Buffer): void {
    if (buffer.byteLength === largeBufferBytes) {
      this.#largeInUse--;
      if (this.#idleLarge.length < maxIdleLarge) this.#idleLarge.push(buffer);
    } else {
      this.#smallInUse--;
      if (this.#idleSmall.length < maxIdleSmall) this.#idleSmall.push(buffer);
    }
  }
}
