import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Priority, Party } from '../../../src/lib/sharing/party.ts';
import type { BlobBody, Upstream } from '../../../src/upstream/contract/upstream.ts';
import { eventually } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { answer, hold } from '../../support/upstream/behaviour.ts';
import { clientOf, failureOf, never, readAll, recorder, repo } from '../support/clients.ts';

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

const sizeBytes = 100_000;

/** Blobs whose answers stop in the middle until `go`. */
async function rig(connections: number) {
  const registry = await ScriptedUpstream.start();
  const digests = [1, 2, 3, 4].map((mark) => registry.content.addBlob('a/b', Buffer.alloc(sizeBytes, mark)));
  const gate = registry.gate('go');
  registry.on({ kind: 'blob' }, hold(1000, gate));
  const recorded = recorder();
  const client = clientOf(new URL(registry.url), { connections, events: recorded.events });
  const open = (
    index: number,
    priority: Priority | Party = 'normal',
    mayBeTaken?: () => boolean,
  ): Promise<BlobBody> => {
    const digest = digests[index] as Parameters<Upstream['openBlob']>[0]['digest'];
    return client.openBlob(
      {
        repository: repo('a/b'),
        digest,
        party: priority instanceof Party ? priority : new Party(priority),
        mayBeTaken,
      },
      never,
    );
  };
  return {
    registry,
    gate,
    recorded,
    open,
    asked: () => registry.requests.map(({ reference }) => digests.indexOf(reference)),
    async [Symbol.asyncDispose]() {
      await client.close();
      await registry[Symbol.asyncDispose]();
    },
  };
}

describe('a blob that nobody waits for', () => {
  it('gives its connection to one that somebody waits for, in the middle of its body', async () => {
    await using lab = await rig(1);
    const low = await lab.open(0, 'low');
    const reading = failureOf(readAll(low));
    const wanted = lab.open(1);
    expect((await reading).kind).toBe('preempted');
    lab.gate.open();
    expect(await readAll(await wanted)).toHaveLength(sizeBytes);
    expect(lab.asked()).toEqual([0, 1]);
  });

  it('gives it also before its head has come', async () => {
    await using lab = await rig(1);
    const gate = lab.registry.gate('head');
    lab.registry.on({ kind: 'blob' }, { times: 1 }, hold('before', gate));
    const low = failureOf(lab.open(0, 'low'));
    await gate.arrived();
    const wanted = lab.open(1);
    expect((await low).kind).toBe('preempted');
    lab.gate.open();
    expect(await readAll(await wanted)).toHaveLength(sizeBytes);
    expect(lab.recorded.breaker).toEqual([]);
  });

  it('keeps it once somebody does wait', async () => {
    await using lab = await rig(1);
    const priority = new Party('low');
    const joined = await lab.open(0, priority);
    priority.moveTo('normal');
    const wanted = lab.open(1);
    lab.gate.open();
    expect(await readAll(joined)).toHaveLength(sizeBytes);
    expect(await readAll(await wanted)).toHaveLength(sizeBytes);
  });

  it('does not wait where others have to', async () => {
    await using lab = await rig(4);
    lab.registry.clearRules();
    lab.registry.on({ kind: 'blob' }, { times: 2 }, answer(429));
    expect((await failureOf(lab.open(0, 'low'))).kind).toBe('rateLimited');
    expect((await failureOf(lab.open(1, 'low'))).kind).toBe('rateLimited');
    expect(lab.asked()).toEqual([0]);
    expect(await readAll(await lab.open(0))).toHaveLength(sizeBytes);
    expect((await failureOf(lab.open(1, 'low'))).kind).toBe('rateLimited');
    expect(lab.asked()).toEqual([0, 0, 0]);
    expect(lab.recorded.breaker).toEqual([]);
  });
});

describe('a client that has more than its share', () => {
  it('gives a connection to another one in the middle of a body, and waits behind it', async () => {
    await using lab = await rig(2);
    const first = await lab.open(0, new Party('normal', 'a'));
    const second = failureOf(readAll(await lab.open(1, new Party('normal', 'a'))));
    const other = lab.open(2, new Party('normal', 'b'));
    expect((await second).kind).toBe('preempted');
    const again = lab.open(1, new Party('normal', 'a'));
    lab.gate.open();
    expect(await readAll(await other)).toHaveLength(sizeBytes);
    expect(await readAll(await again)).toHaveLength(sizeBytes);
    expect(await readAll(first)).toHaveLength(sizeBytes);
    expect(lab.recorded.breaker).toEqual([]);
  });

  it('keeps what cannot be continued', async () => {
    await using lab = await rig(2);
    const party = new Party('normal', 'a');
    const fixed = await Promise.all([0, 1].map((index) => lab.open(index, party, () => false)));
    const other = lab.open(2, new Party('normal', 'b'));
    lab.gate.open();
    for (const body of fixed) expect(await readAll(body)).toHaveLength(sizeBytes);
    expect(await readAll(await other)).toHaveLength(sizeBytes);
  });
});

describe('more blobs than connections', () => {
  it('wait for their turn and do not fail', async () => {
    await using lab = await rig(2);
    const all = [0, 1, 2, 3].map(async (index) => (await readAll(await lab.open(index))).length);
    await eventually(() => lab.asked().length === 2);
    lab.gate.open();
    expect(await Promise.all(all)).toEqual([sizeBytes, sizeBytes, sizeBytes, sizeBytes]);
    expect(lab.registry.connections).toBeLessThanOrEqual(2);
  });
});
