/** The owner's side of a move by a thread, with a thread that says what the test wants: grants, space, and who may write when. */
import { describe, expect, it } from 'vitest';
import { Attempt } from '../../../src/fill/attempt/attempt.ts';
import type { MoveCommand, MoveReply } from '../../../src/fill/worker/messages.ts';
import type { DownloadWorker } from '../../../src/fill/worker/thread.ts';
import { moveByThread } from '../../../src/fill/download/worker-download.ts';
import type { Reservation } from '../../../src/fill/space/reservation.ts';
import type { Ingest } from '../../../src/store/contract/blob-store.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { Semaphore } from '../../../src/lib/semaphore.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { WorkerBody } from '../../../src/upstream/contract/worker-protocol.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';

const mib = 1024 * 1024;
const sizeBytes = 100 * mib;

function rig(options: { covers?: boolean; pay?: WorkerBody['pay']; stepBytes?: number } = {}) {
  const told: MoveCommand[] = [];
  let reply: (reply: MoveReply | { kind: 'lost' }) => void = () => undefined;
  const thread = {
    isDead: false,
    isUsable: true,
    load: 0,
    file: () => ({ id: 7, tell: () => undefined }),
    move: (_: number, onReply: typeof reply) => {
      reply = onReply;
      return { id: 1, tell: (command: MoveCommand) => told.push(command) };
    },
  } as unknown as DownloadWorker;
  const ingest = {
    path: '/part',
    resumed: [],
    claimedSizeBytes: sizeBytes,
    allocatedBytes: () => 0,
    wrote: () => undefined,
    sync: async () => undefined,
  } as unknown as Ingest;
  const attempt = new Attempt({
    digest: digestOf(''),
    ingest,
    file: { read: async () => 0, close: async () => undefined },
    clock: new FakeClock(),
    logger: silentLogger,
    hashTurns: new Semaphore(1),
    workers: { thread, hashThread: thread },
  });
  const relieved: boolean[] = [];
  const reservation = {
    cover: () => options.covers ?? true,
    relieve: async () => (relieved.push(true), true),
    allocated: 0,
  } as unknown as Reservation;
  const ended: string[] = [];
  const body: WorkerBody = {
    worker: thread,
    call: 1,
    pay: options.pay,
    stepBytes: options.stepBytes ?? Infinity,
    wanted: new AbortController().signal,
    received: () => undefined,
    abort: () => void ended.push('aborted'),
    ended: () => void ended.push('ended'),
  };
  const claim = attempt.pieces.claim(0, sizeBytes);
  const control = new AbortController();
  const { signal } = control;
  const moved = moveByThread({ attempt, claim, reservation, upstream: 'lab', body, skipBytes: 0, signal });
  const say = (message: MoveReply | { kind: 'lost' }): void => reply(message);
  return { told, say, moved, attempt, claim, control, ended, relieved };
}

const wrote = (to: number): MoveReply => ({ kind: 'moved', to, hashed: to, received: 0 });
const stopped = (to: number, why: 'granted' | 'ended' | 'failed' = 'granted'): MoveReply => {
  return { kind: 'stopped', to, hashed: to, received: 0, why };
};

/** The end of what the thread may write. */
function granted(told: readonly MoveCommand[]): number {
  const ends = told.map((command) => {
    if (command.kind === 'move') return command.order.grant.to;
    return command.kind === 'grant' ? command.grant.to : 0;
  });
  return Math.max(0, ...ends);
}

describe('a move by a thread', () => {
  it('is granted a little at first and more as it keeps up, never far ahead, and the last grant says so', async () => {
    const { told, say, moved } = rig();
    await eventually(() => told.length === 1);
    expect(granted(told)).toBe(mib);
    let ahead = 0;
    for (let to = 512 * 1024; to <= sizeBytes; to += 512 * 1024) {
      say(wrote(to));
      await eventually(() => granted(told) > to || granted(told) === sizeBytes);
      ahead = Math.max(ahead, granted(told) - to);
    }
    expect(ahead).toBeGreaterThan(4 * mib);
    expect(ahead).toBeLessThanOrEqual(16 * mib);
    expect(told.at(-1)).toMatchObject({ grant: { to: sizeBytes, isLast: true } });
    say(stopped(sizeBytes));
    expect(await moved).toEqual({ bytes: sizeBytes, why: 'granted' });
  });

  it('that is told to stop has ended only when the thread says so, and what it wrote last counts', async () => {
    const { told, say, moved, attempt, claim, control, ended } = rig();
    await eventually(() => told.length === 1);
    control.abort(new Error('enough'));
    expect(told.at(-1)).toEqual({ kind: 'stop' });
    let isOver = false;
    void moved.then(() => (isOver = true));
    // Late, but of bytes that it was granted: nobody else can have been given them.
    say(wrote(300_000));
    await new Promise((resolve) => setImmediate(resolve));
    expect([isOver, attempt.pieces.isFree(0, 1)]).toEqual([false, false]);
    say(stopped(400_000));
    expect(await moved).toMatchObject({ bytes: 400_000, why: { error: { message: 'enough' } } });
    expect([claim.position, ended]).toEqual([400_000, ['ended']]);
  });

  it('cannot lose what it was granted to somebody who wants it, and gives back the rest', async () => {
    const { told, say, moved, attempt, claim } = rig();
    await eventually(() => told.length === 1);
    attempt.pieces.shrink(claim, 10);
    expect(claim.end).toBe(mib);
    say(wrote(600_000));
    // Nor does it wait for more: what it has is all that it will get.
    await eventually(() => told.length === 2);
    expect(told[1]).toEqual({ kind: 'grant', grant: { to: mib, isLast: true } });
    say(stopped(mib, 'ended'));
    expect((await moved).bytes).toBe(mib);
    attempt.pieces.release(claim);
    expect(attempt.pieces.firstAbsent(0)).toEqual({ start: mib, end: sizeBytes });
  });

  it('whose thread dies is free again from what was announced', async () => {
    const { told, say, moved, attempt, claim } = rig();
    await eventually(() => told.length === 1);
    say(wrote(5000));
    say({ kind: 'lost' });
    expect(await moved).toMatchObject({ bytes: 5000, why: { error: { kind: 'cut' } } });
    expect(attempt.pieces.commit(claim, 1)).toBe(1);
    expect(claim.position).toBe(5000);
  });

  it('on a full disk is tried once more after an eviction, and then given up', async () => {
    const { told, say, moved, relieved } = rig();
    await eventually(() => told.length === 1);
    say({ kind: 'stuck', code: 'ENOSPC' });
    await eventually(() => told.at(-1)?.kind === 'retry');
    say({ kind: 'stuck', code: 'ENOSPC' });
    await eventually(() => told.at(-1)?.kind === 'stop');
    say(stopped(0));
    expect(await moved).toMatchObject({ bytes: 0, why: { error: { name: 'StoreError', kind: 'full' } } });
    expect(relieved).toHaveLength(1);
  });

  it('on a sick disk is given up at once', async () => {
    const { told, say, moved, relieved } = rig();
    await eventually(() => told.length === 1);
    say({ kind: 'stuck', code: 'EIO' });
    await eventually(() => told.at(-1)?.kind === 'stop');
    say(stopped(0));
    expect(await moved).toMatchObject({ why: { error: { kind: 'sick' } } });
    expect(relieved).toEqual([]);
  });

  it('for which there is no room never begins, and its body is destroyed', async () => {
    const { told, moved, ended } = rig({ covers: false });
    expect(await moved).toMatchObject({ bytes: 0, why: { error: { kind: 'full' } } });
    expect([told, ended]).toEqual([[], ['aborted', 'ended']]);
  });

  it('pays for its bytes before it may write them, in small steps', async () => {
    const paid: (() => void)[] = [];
    const { told, say, control, moved } = rig({
      stepBytes: 1000,
      pay: () => new Promise((resolve) => paid.push(resolve)),
    });
    expect(told).toEqual([]);
    for (const to of [1000, 2000, 3000]) {
      await eventually(() => paid.length > 0);
      paid.shift()?.();
      await eventually(() => granted(told) === to);
    }
    control.abort(new Error('enough'));
    say(stopped(0));
    await moved;
  });
});
