import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { hold } from '../../support/upstream/behaviour.ts';
import { QuestionSlots } from '../../../src/upstream/limits/questions.ts';
import { clientOf, failureOf, ref } from '../support/clients.ts';
import { repository } from '../../fill/support/engine.ts';

const [one, other] = ['192.0.2.1', '192.0.2.2'];
const connections = 8;

describe('one address with a thousand names', () => {
  it('has as many questions under way as there are connections, and keeps nobody else waiting', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using client = clientOf(new URL(upstream.url), { clock: new FakeClock(), connections });
    const stop = new AbortController();
    const ask = (name: string, address: string): Promise<unknown> =>
      client
        .getManifest(repository(name), ref('v1'), stop.signal, { client: address })
        .catch((error: unknown) => error);
    const asked = (): number => upstream.requests.filter(({ kind }) => kind === 'manifest').length;
    // Before its first answer an upstream is asked by fewer.
    await ask('team/none', one);
    upstream.forgetRequests();
    upstream.on({ kind: 'manifest' }, hold('before', upstream.gate('silent')));
    const all = Array.from({ length: 1000 }, (_, index) => ask(`flood/${index}`, one));
    // One is for whoever comes next.
    await eventually(() => asked() === connections - 1);
    all.push(ask('team/app', other));
    await eventually(() => asked() === connections);
    expect(upstream.requests.at(-1)?.path).toContain('team/app');
    stop.abort();
    await Promise.all(all);
    expect(asked()).toBe(connections);
  });
});

describe('a question', () => {
  const question = {
    kind: 'manifests',
    method: 'GET',
    repository: repository('a'),
    subject: 'x',
    asker: 'nobody',
  } as const;
  const endless = new AbortController().signal;

  function slotsOf(clock: FakeClock): QuestionSlots {
    return new QuestionSlots({ upstream: 'lab', connections, clock, lateAfterMs: 8000 });
  }

  it('that is late holds no slot, and ends when its place is needed by an address that has fewer', async () => {
    const clock = new FakeClock();
    const slots = slotsOf(clock);
    const enter = (client: string) => slots.enter({ ...question, client }, Infinity, endless);
    const late: Awaited<ReturnType<typeof enter>>[] = [];
    // 32 wait beside the slots, and 7 in them.
    while (late.length < 32 + 7) {
      late.push(await enter(one));
      if (late.length % 7 === 0 || late.length === 32) await clock.advance(8000);
    }
    expect(late.filter(({ signal }) => signal.aborted)).toEqual([]);
    using _mine = await enter(other);
    await clock.advance(8000);
    const ended = late.filter(({ signal }) => signal.aborted);
    expect(ended.map(({ signal }) => signal.reason)).toMatchObject([{ kind: 'exhausted', retryAfterMs: 5000 }]);
    for (const slot of late) slot[Symbol.dispose]();
  });

  it('that had no turn in its time is told when to come back, and says nothing about the upstream', async () => {
    const clock = new FakeClock();
    const slots = slotsOf(clock);
    const enter = (endsAtMs: number) => slots.enter({ ...question, client: one }, endsAtMs, endless);
    const held = await Promise.all(Array.from({ length: connections - 1 }, () => enter(Infinity)));
    const failure = failureOf(enter(clock.monotonic() + 5000));
    await clock.advance(5000);
    expect(await failure).toMatchObject({ kind: 'exhausted', retryAfterMs: 5000 });
    for (const slot of held) slot[Symbol.dispose]();
    using _next = await enter(clock.monotonic() + 1);
  });
});
