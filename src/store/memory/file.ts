/** A growing file in memory with readers, as far as the memory store needs one. */
import { type SpoolReader, StoreError } from '../contract/blob-store.ts';

export class MemoryFile {
  #bytes = new Uint8Array(0);
  #length = 0;
  #readers = 0;

  get length(): number {
    return this.#length;
  }

  get readers(): number {
    return this.#readers;
  }

  write(buffers: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const buffer of buffers) {
      this.#grow(at + buffer.byteLength);
      this.#bytes.set(buffer, at);
      at += buffer.byteLength;
    }
  }

  /** `onLastClose` is called whenever nobody reads any more. */
  openReader(onLastClose: () => void): SpoolReader {
    this.#readers++;
    let isOpen = true;
    return {
      read: async (buffer, offset, length, position) => {
        if (!isOpen) throw new StoreError('sick', 'read from a closed reader');
        const piece = this.#bytes.subarray(position, Math.min(this.#length, position + length));
        buffer.set(piece, offset);
        return piece.byteLength;
      },
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        if (--this.#readers === 0) onLastClose();
      },
    };
  }

  #grow(length: number): void {
    if (length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(length, this.#bytes.byteLength * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#length = Math.max(this.#length, length);
  }
}
