/** Content of any size that is made when it is asked for, the same each time. */
import { createCipheriv, createHash, type Hash } from 'node:crypto';

export interface ByteSource {
  readonly sizeBytes: number;
  /** The bytes of `[start, end)`. */
  bytes(start: number, end: number): Uint8Array;
}

export function sourceOf(content: Uint8Array | string): ByteSource {
  const buffer = Buffer.from(content);
  return { sizeBytes: buffer.length, bytes: (start, end) => buffer.subarray(start, end) };
}

/** Pseudo-random content: the key stream of AES in counter mode, which can be entered anywhere. */
export function randomSource(sizeBytes: number, seed: number | string = 0): ByteSource {
  const key = createHash('sha256').update(`weir test content ${seed}`).digest().subarray(0, 16);
  return {
    sizeBytes,
    bytes(start, end) {
      const iv = Buffer.alloc(16);
      iv.writeBigUInt64BE(BigInt(Math.floor(start / 16)), 8);
      const skip = start % 16;
      return createCipheriv('aes-128-ctr', key, iv)
        .update(Buffer.alloc(end - start + skip))
        .subarray(skip);
    },
  };
}

export function randomBytesOf(sizeBytes: number, seed: number | string = 0): Buffer {
  return Buffer.from(randomSource(sizeBytes, seed).bytes(0, sizeBytes));
}

/**
 * Many large contents that differ in their last bytes only, so that making and naming another one costs next to nothing.
 */
export class VariedSource {
  readonly #base: Buffer;
  readonly #prefix: Hash;

  constructor(sizeBytes: number, seed: number | string = 0) {
    this.#base = randomBytesOf(sizeBytes, seed);
    this.#prefix = createHash('sha256').update(this.#base.subarray(0, -4));
  }

  variant(index: number): ByteSource & { readonly digest: string } {
    const end = Buffer.alloc(4);
    end.writeUInt32BE(index);
    const base = this.#base;
    const place = base.length - end.length;
    return {
      sizeBytes: base.length,
      digest: `sha256:${this.#prefix.copy().update(end).digest('hex')}`,
      bytes(from, to) {
        if (to <= place) return base.subarray(from, to);
        const bytes = Buffer.from(base.subarray(from, to));
        end.copy(bytes, Math.max(place - from, 0), Math.max(from - place, 0));
        return bytes;
      },
    };
  }
}

/** sha256 of a source, computed piece by piece. */
export function digestOfSource(source: ByteSource): string {
  const hash = createHash('sha256');
  const step = 1024 * 1024;
  for (let at = 0; at < source.sizeBytes; at += step) {
    hash.update(source.bytes(at, Math.min(source.sizeBytes, at + step)));
  }
  return `sha256:${hash.digest('hex')}`;
}
