import { describe, expect, it } from 'vitest';
import { BufferPool, largeBufferBytes, smallBufferBytes } from '../../../src/http/body/buffer-pool.ts';

describe('the buffer pool', () => {
  it('gives no more large buffers than it may, and small ones instead', () => {
    const pool = new BufferPool(3 * largeBufferBytes);
    const taken = Array.from({ length: 5 }, () => pool.takeLarge());
    expect(taken.map((buffer) => buffer.byteLength)).toEqual([
      largeBufferBytes,
      largeBufferBytes,
      largeBufferBytes,
      smallBufferBytes,
      smallBufferBytes,
    ]);
    expect(pool.bytesInUse).toBe(3 * largeBufferBytes + 2 * smallBufferBytes);
    for (const buffer of taken) pool.release(buffer);
    expect(pool.bytesInUse).toBe(0);
    expect(pool.takeLarge().byteLength).toBe(largeBufferBytes);
  });

  it('never refuses a small buffer, and uses buffers again', () => {
    const pool = new BufferPool(0);
    const many = Array.from({ length: 1000 }, () => pool.takeSmall());
    expect(new Set(many).size).toBe(1000);
    for (const buffer of many) pool.release(buffer);
    expect(many).toContain(pool.takeSmall());
  });

  it('keeps no memory of its buffers in a shared slab', () => {
    const buffer = new BufferPool().takeSmall();
    expect(buffer.buffer.byteLength).toBe(smallBufferBytes);
  });
});
