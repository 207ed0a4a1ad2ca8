import { beforeEach, describe, expect, it } from 'vitest';
import { CacheError } from '../../../src/fill/contract/errors.ts';
import { SlowUpstreams } from '../../../src/cache/contract/slow-upstreams.ts';
import { Refresh } from '../../../src/cache/freshness/revalidate.ts';
import { UpstreamError, type UpstreamErrorKind } from '../../../src/upstream/contract/errors.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { Gate } from '../../support/gate.ts';

const options = { staleAfterMs: 2_000, retryMs: 5_000 };
const unanswered = { kind: 'unanswered', error: undefined };

let clock: FakeClock;
let refresh: Refresh<string>;
let asked: string[];

beforeEach(() => {
  clock = new FakeClock();
  refresh = new Refresh(clock, options);
  asked = [];
});

function error(kind: UpstreamErrorKind): UpstreamError {
  return new UpstreamError(kind, kind, { upstream: 'hub' });
}

function ask(key: string, answer: () => Promise<string>, hasStale = true, upstream = 'hub') {
  const work = (): Promise<string> => {
    asked.push(key);
    return answer();
  };
  return refresh.run({ key, upstream, hasStale }, work, undefined);
}

async function held(gate: Gate, text = 'new'): Promise<string> {
  await gate.pass();
  return text;
}

describe('with an old answer at hand', () => {
  it('the new one is waited for, two seconds long', async () => {
    const gate = new Gate();
    const answer = ask('a', () => held(gate));
    await clock.advance(1_999);
    gate.open();
    expect(await answer).toEqual({ kind: 'answered', value: 'new', isCollapsed: false });
    expect(clock.pending).toBe(0);
  });

  it('nobody waits longer, while the question runs on', async () => {
    const gate = new Gate();
    let isAnswered = false;
    const answer = ask('a', async () => {
      await gate.pass();
      isAnswered = true;
      return 'new';
    });
    await clock.advance(2_000);
    expect(await answer).toEqual(unanswered);
    expect(refresh.isRunning('a')).toBe(true);
    gate.open();
    await clock.advance(0);
    expect([isAnswered, refresh.isRunning('a'), clock.pending]).toEqual([true, false, 0]);
  });

  it('patience counts from when the question was asked, not from when a client came', async () => {
    const gate = new Gate();
    const first = ask('a', () => held(gate));
    await clock.advance(1_500);
    let isTold = false;
    const second = ask('a', () => held(gate)).then((answer) => ((isTold = true), answer));
    await clock.advance(499);
    expect(isTold).toBe(false);
    await clock.advance(1);
    expect(await Promise.all([first, second])).toEqual([unanswered, unanswered]);
    expect(await ask('a', () => held(gate))).toEqual(unanswered);
    expect(asked).toEqual(['a']);
    gate.open();
  });

  it('nobody waits for an upstream that is overdue with another question', async () => {
    const gate = new Gate();
    const first = ask('a', () => held(gate));
    await clock.advance(2_000);
    await first;
    expect(await ask('b', () => held(gate))).toEqual(unanswered);
    const elsewhere = ask('c', () => held(gate), true, 'quay');
    gate.open();
    expect(await elsewhere).toMatchObject({ kind: 'answered' });
    await clock.advance(0);
    expect(await ask('b', async () => 'back')).toMatchObject({ kind: 'answered', value: 'back' });
    expect(asked).toEqual(['a', 'b', 'c', 'b']);
  });

  it('nobody waits for it elsewhere either, once the silence is shared', async () => {
    const gate = new Gate();
    const slowUpstreams = new SlowUpstreams();
    const [one, other] = [
      new Refresh<string>(clock, options, slowUpstreams),
      new Refresh<string>(clock, options, slowUpstreams),
    ];
    const question = { key: 'a', upstream: 'hub', hasStale: true };
    const first = one.run(question, () => held(gate), undefined);
    await clock.advance(2_000);
    await first;
    expect(await other.run(question, () => held(gate), undefined)).toEqual(unanswered);
    gate.open();
    await clock.advance(0);
    expect(slowUpstreams.isSilent('hub', clock.monotonic())).toBe(false);
  });

  it('nobody waits again while each look finds nobody there, but who comes a minute after the last one does', async () => {
    const silent = async (): Promise<string> => {
      await clock.sleep(3_000);
      throw error('breakerOpen');
    };
    const first = ask('a', silent);
    await clock.advance(3_000);
    expect(await first).toEqual(unanswered);
    for (let look = 0; look < 20; look++) {
      await clock.advance(10_000);
      expect(await ask('a', silent)).toEqual(unanswered);
      await clock.advance(3_000);
    }
    await clock.advance(60_000);
    let isTold = false;
    const later = ask('a', silent).then((answer) => ((isTold = true), answer));
    await clock.advance(1_999);
    expect(isTold).toBe(false);
    await clock.advance(1);
    expect(await later).toEqual(unanswered);
    expect(asked).toHaveLength(22);
    await clock.advance(3_000);
  });

  it('a late failure that is an answer is no silence: the next one waits', async () => {
    const gate = new Gate();
    const first = ask('a', async () => {
      await gate.pass();
      throw error('serverError');
    });
    await clock.advance(2_000);
    expect(await first).toEqual(unanswered);
    gate.open();
    await clock.advance(0);
    const next = ask('b', () => clock.sleep(1_000).then(() => 'new'));
    await clock.advance(1_000);
    expect(await next).toMatchObject({ kind: 'answered' });
  });

  it('a late one makes nobody wait less for others where the upstream has answered anything to anybody since', async () => {
    let answeredAtMs = -Infinity;
    const shared = new Refresh<string>(clock, options, new SlowUpstreams(() => answeredAtMs));
    const of = (key: string): { key: string; upstream: string; hasStale: true } => ({
      key,
      upstream: 'hub',
      hasStale: true,
    });
    const gate = new Gate();
    const first = shared.run(of('late'), () => held(gate), undefined);
    await clock.advance(2_000);
    expect(await first).toEqual(unanswered);
    answeredAtMs = clock.monotonic();
    const other = shared.run(of('well'), () => clock.sleep(1_000).then(() => 'new'), undefined);
    await clock.advance(1_000);
    expect(await other).toMatchObject({ kind: 'answered' });
    gate.open();
  });

  it('a late one makes nobody wait less for others once something else was answered', async () => {
    const [late, slow] = [new Gate(), new Gate()];
    const first = ask('late', () => held(late));
    await clock.advance(2_000);
    expect(await first).toEqual(unanswered);
    expect(await ask('well', async () => 'there', false)).toMatchObject({ kind: 'answered' });
    // Still late, and still no sign of silence.
    expect(await ask('late', () => held(late))).toEqual(unanswered);
    const other = ask('slow', () => held(slow));
    await clock.advance(1_000);
    slow.open();
    expect(await other).toMatchObject({ kind: 'answered' });
    late.open();
    await clock.advance(0);
  });

  it('a failure is not repeated for five seconds, and told to all who come in between', async () => {
    const failure = error('serverError');
    const fail = (): Promise<string> => Promise.reject(failure);
    for (let i = 0; i < 10; i++) expect(await ask('a', fail)).toEqual({ kind: 'unanswered', error: failure });
    expect(asked).toHaveLength(1);
    await clock.advance(5_000);
    expect(await ask('a', async () => 'new')).toMatchObject({ value: 'new' });
    expect(await ask('a', async () => 'newer')).toMatchObject({ value: 'newer' });
  });
});

describe('without an old answer', () => {
  it('a client waits to the end', async () => {
    const gate = new Gate();
    const answer = ask('a', () => held(gate), false);
    await clock.advance(60_000);
    gate.open();
    expect(await answer).toMatchObject({ kind: 'answered' });
  });

  it('a failure is asked again by the next', async () => {
    const fail = (): Promise<string> => Promise.reject(error('timeout'));
    for (let i = 0; i < 3; i++) expect(await ask('a', fail, false)).toMatchObject({ kind: 'unanswered' });
    expect(asked).toHaveLength(3);
  });
});

describe('in either case', () => {
  it.each(['notFound', 'denied', 'unsupported', 'rangeRefused', 'aborted'] as const)(
    '%s is an answer',
    async (kind) => {
      for (const hasStale of [true, false]) {
        await expect(ask('a', () => Promise.reject(error(kind)), hasStale)).rejects.toMatchObject({ kind });
      }
      expect(asked).toHaveLength(2);
    },
  );

  it('wrong bytes are none', async () => {
    const failure = new CacheError('mismatch', 'hub', 'wrong');
    expect(await ask('a', () => Promise.reject(failure))).toEqual({ kind: 'unanswered', error: failure });
  });

  it('a client that leaves takes nothing with it', async () => {
    const gate = new Gate();
    const client = new AbortController();
    const question = { key: 'a', upstream: 'hub', hasStale: true };
    const left = refresh.run(question, () => held(gate), client.signal);
    const stays = refresh.run(question, () => held(gate), undefined);
    await gate.arrived();
    client.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    gate.open();
    expect(await stays).toEqual({ kind: 'answered', value: 'new', isCollapsed: true });
    expect([gate.arrivals, clock.pending]).toEqual([1, 0]);
  });
});
