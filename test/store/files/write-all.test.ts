import type { FileHandle } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeAll } from '../../../src/store/files/write-all.ts';
import { rejects } from '../contract.ts';

/** A file that takes at most so many bytes per call. */
class StingyFile {
  readonly content = Buffer.alloc(10_000);
  readonly #allowance: () => number;

  constructor(allowance: () => number) {
    this.#allowance = allowance;
  }

  writev(buffers: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> {
    return this.#take(Buffer.concat(buffers), position);
  }

  write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    return this.#take(Buffer.from(buffer.subarray(offset, offset + length)), position);
  }

  async #take(bytes: Buffer, position: number): Promise<{ bytesWritten: number }> {
    const bytesWritten = Math.min(bytes.length, this.#allowance());
    bytes.copy(this.content, position, 0, bytesWritten);
    return { bytesWritten };
  }

  asHandle(): FileHandle {
    return this as unknown as FileHandle;
  }
}

describe('positional writes', () => {
  it('are whole however little the system takes at a time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.nat({ max: 5000 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 200 })),
        async (buffers, position, allowances) => {
          const file = new StingyFile(() => allowances.next().value ?? 1);
          const whole = Buffer.concat(buffers);
          expect(await writeAll(file.asHandle(), buffers, position)).toBe(whole.length);
          expect(file.content.subarray(position, position + whole.length)).toEqual(whole);
          expect(file.content.subarray(0, position).every((byte) => byte === 0)).toBe(true);
          expect(file.content.subarray(position + whole.length).every((byte) => byte === 0)).toBe(true);
        },
      ),
    );
  });

  it('fail when the system takes nothing, instead of trying for ever', async () => {
    const amounts = [3, 0];
    const file = new StingyFile(() => amounts.shift() ?? 0);
    await rejects(writeAll(file.asHandle(), [Buffer.from('abcdef')], 0), 'sick');
  });
});
