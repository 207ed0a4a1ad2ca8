import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { DigestLocks } from '../../../src/store/blobs/locks.ts';
import { Gate } from '../../support/gate.ts';

const digest = digestOf('x');

describe('locks of digests', () => {
  it('run one change of a digest at a time, in the order asked for, and others beside it', async () => {
    const locks = new DigestLocks();
    const gate = new Gate();
    const order: string[] = [];
    const first = locks.run(digest, async () => {
      await gate.pass();
      order.push('first');
    });
    const second = locks.run(digest, async () => void order.push('second'));
    await locks.run(digestOf('y'), async () => void order.push('other'));
    expect(order).toEqual(['other']);
    expect(locks.isHeld(digest)).toBe(true);
    let isSettled = false;
    const settled = locks.settled(digest).then(() => (isSettled = true));
    await gate.arrived();
    expect(isSettled).toBe(false);
    gate.open();
    await Promise.all([first, second, settled]);
    expect(order).toEqual(['other', 'first', 'second']);
    expect(locks.isHeld(digest)).toBe(false);
    await locks.settled(digest);
  });

  it('are free after a failure', async () => {
    const locks = new DigestLocks();
    await expect(locks.run(digest, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(locks.isHeld(digest)).toBe(false);
    expect(await locks.run(digest, async () => 5)).toBe(5);
  });
});
