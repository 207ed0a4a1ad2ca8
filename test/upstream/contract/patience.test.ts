/** A body that stands still: broken off where it can be continued, or where somebody else waits for its connection. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Party } from '../../../src/lib/sharing/party.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { ExchangeWorker } from '../../../src/upstream/contract/worker-protocol.ts';
import type { BlobBody } from '../../../src/upstream/contract/upstream.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { hold } from '../../support/upstream/behaviour.ts';
import { clientOf, failureOf, never, readAll, repo } from '../support/clients.ts';
import { LocalLine } from '../support/local-line.ts';

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

const sizeBytes = 100_000;
const minute = 60_000;

async function rig(connections = 8) {
  const registry = await ScriptedUpstream.start();
  const bytes = Buffer.alloc(sizeBytes, 1);
  const digest = digestOf(bytes);
  registry.content.addBlob('a/b', bytes);
  const gate = registry.gate('go');
  registry.on({ kind: 'blob' }, hold(1000, gate));
  const clock = new FakeClock();
  const client = clientOf(new URL(registry.url), { connections, clock });
  return {
    clock,
    gate,
    open: (mayBeTaken: () => boolean, worker?: ExchangeWorker, party = new Party('normal', 'one')): Promise<BlobBody> =>
      client.openBlob({ repository: repo('a/b'), digest, party, mayBeTaken, worker }, never),
    async [Symbol.asyncDispose]() {
      await client.close();
      await registry[Symbol.asyncDispose]();
    },
  };
}

interface Standing {
  /** How many bytes came in all. */
  rest(): Promise<number>;
  /** Lets time pass until it has failed. Resolves with why, and in how many milliseconds. */
  failed(clock: FakeClock): Promise<readonly [string, number]>;
}

/** Begins to read, and resolves when the body stands still. */
async function standing(body: BlobBody): Promise<Standing> {
  const chunks = body.chunks[Symbol.asyncIterator]();
  let read = 0;
  while (read < 1000) read += (await chunks.next()).value?.byteLength ?? 0;
  const rest = async (): Promise<number> => {
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) read += next.value.byteLength;
    return read;
  };
  const reading = rest();
  let isOver = false;
  // Owned: the test looks at it when it is time.
  void reading.catch(() => undefined).finally(() => (isOver = true));
  const failed = async (clock: FakeClock): Promise<readonly [string, number]> => {
    const began = clock.monotonic();
    while (!isOver && clock.monotonic() - began < 60 * minute) {
      await clock.advance(1000);
      // What is said on a line takes a turn.
      await new Promise(setImmediate);
    }
    return [(await failureOf(reading)).kind, clock.monotonic() - began];
  };
  return { rest: () => reading, failed };
}

describe.each(['here', 'on a line'])('a body that stands still, carried %s,', (where) => {
  const lineOf = (clock: FakeClock): LocalLine | undefined => (where === 'here' ? undefined : new LocalLine(clock));

  it('is waited for where it could not be continued', async () => {
    await using lab = await rig();
    const worker = lineOf(lab.clock);
    const body = await standing(await lab.open(() => false, worker));
    await lab.clock.advance(50 * minute);
    lab.gate.open();
    expect(await body.rest()).toBe(sizeBytes);
    expect(lab.clock.pending).toBe(0);
    await worker?.close();
  });

  it.each<[string, () => boolean, Party]>([
    ['it can be continued', () => true, new Party('normal', 'one')],
    ['nobody waits for it', () => false, new Party('low', 'one')],
  ])('is broken off after a minute where %s', async (_, mayBeTaken, party) => {
    await using lab = await rig();
    const worker = lineOf(lab.clock);
    const body = await standing(await lab.open(mayBeTaken, worker, party));
    const [kind, ms] = await body.failed(lab.clock);
    await worker?.close();
    expect(kind).toBe('timeout');
    expect(ms).toBeLessThan(2 * minute);
  });

  it('is broken off when somebody else waits for its connection', async () => {
    await using lab = await rig(1);
    const worker = lineOf(lab.clock);
    const body = await standing(await lab.open(() => false, worker));
    await lab.clock.advance(10 * minute);
    const next = lab.open(() => false, worker, new Party('normal', 'two'));
    const [kind, ms] = await body.failed(lab.clock);
    lab.gate.open();
    const other = await readAll(await next);
    await worker?.close();
    expect([kind, other.byteLength]).toEqual(['timeout', sizeBytes]);
    expect(ms).toBeLessThanOrEqual(15_000);
  });
});
