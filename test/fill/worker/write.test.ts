/** A move as its thread sees it, over an exchange that does what the test says: what is written where, and how it ends. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Grant, MoveReply } from '../../../src/fill/worker/messages.ts';
import { BufferStack, ThreadMove } from '../../../src/fill/worker/write.ts';
import type { WorkerExchange } from '../../../src/upstream/worker/exchange.ts';
import { tempDirectory } from '../../support/temp.ts';
import { eventually } from '../../support/gate.ts';
import { content } from '../support/engine.ts';

const bytes = content(3000);

async function rig(grant: Grant) {
  const temp = await tempDirectory('thread-move');
  const path = join(temp.path, 'file');
  await writeFile(path, '');
  const replies: MoveReply[] = [];
  const exchange = { isComplete: false, onResume: () => undefined as void };
  const fake = {
    abort: () => undefined,
    takeReceived: () => 0,
    get isComplete() {
      return exchange.isComplete;
    },
    resume: () => exchange.onResume(),
  } as unknown as WorkerExchange;
  const order = { path, file: undefined, position: 0, skipBytes: 0, grant };
  const move = new ThreadMove(order, fake, undefined, new BufferStack(), (reply) => void replies.push(reply));
  return {
    move,
    exchange,
    replies,
    written: () => readFile(path),
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
}

describe('a move on a thread', () => {
  it('that has dropped what came behind its last byte is not continued by a late grant', async () => {
    await using rigged = await rig({ to: 1000, isLast: true });
    const { move, replies, written } = rigged;
    move.data(bytes.subarray(0, 1500));
    // The owner has extended the claim before it could hear that this was all.
    move.obey({ kind: 'grant', grant: { to: 3000, isLast: true } });
    move.data(bytes.subarray(1500));
    move.end(undefined);
    await eventually(() => replies.at(-1)?.kind === 'stopped');
    const stopped = replies.at(-1);
    expect(stopped).toMatchObject({ kind: 'stopped', to: 1000 });
    expect((await written()).equals(bytes.subarray(0, 1000))).toBe(true);
  });

  it('ends when its claim is cut off at what was granted, although the rest of the body has come', async () => {
    await using rigged = await rig({ to: 1000, isLast: false });
    const { move, exchange, replies, written } = rigged;
    expect(move.data(bytes.subarray(0, 1500))).toBe(false);
    exchange.isComplete = true;
    exchange.onResume = () => move.end(undefined);
    move.obey({ kind: 'grant', grant: { to: 1000, isLast: true } });
    await eventually(() => replies.at(-1)?.kind === 'stopped');
    expect(replies.at(-1)).toMatchObject({ kind: 'stopped', to: 1000, why: 'ended' });
    expect((await written()).equals(bytes.subarray(0, 1000))).toBe(true);
  });
});
