/**
 * No failure of an upstream makes signatures disappear: what weir has is served while it is fresh and marked stale after
 * that, what it does not have is an error, and neither is ever 404 or an empty list.
 */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-clock.ts';
import { eventually } from '../support/gate.ts';
import type { RawResponse } from '../support/raw-client.ts';
import { longestMemoryMs, type Outage, outages } from './support/outages.ts';
import { addSigned, lists, type Question, questions, type Signed } from './support/signed.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

/** Listings and signature tags are fresh for so long, whatever `tags.ttl` says. */
const freshMs = 30_000;
const staleIfErrorMs = 3_600_000;

interface Scene extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly weir: WeirUnderTest;
  readonly signed: Signed;
  readonly ask: (question: Question, signed?: Signed, method?: string) => Promise<RawResponse>;
}

async function sceneFor(outage: Outage | undefined): Promise<Scene> {
  const clock = new FakeClock();
  const weir = await WeirUnderTest.start({ clock, staleIfErrorMs });
  const signed = addSigned(weir.upstream, 'v1');
  const ask: Scene['ask'] = async (question, { image } = signed, method = 'GET') => {
    const answer = weir.ask(question.path(image), { method });
    if (outage?.isSilent !== true) return answer;
    let isOver = false;
    const over = answer.finally(() => (isOver = true));
    await eventually(async () => {
      if (!isOver) await clock.advance(250);
      return isOver;
    });
    return over;
  };
  return { clock, weir, signed, ask, [Symbol.asyncDispose]: () => weir[Symbol.asyncDispose]() };
}

/** The upstream is well again, and not left alone any more. */
async function end({ name }: Outage, { weir, clock }: Scene): Promise<void> {
  weir.upstream.clearRules();
  if (name === 'refuses connections') await weir.upstream.listen();
  await clock.advance(longestMemoryMs);
}

/** What leaves nothing to be believed: other words than these are the subject of other tests. */
function failures(question: Question, isKnown: boolean): readonly Outage[] {
  if (!lists.includes(question)) return outages;
  return outages.filter(({ meansNoApi }) => isKnown || meansNoApi !== true);
}

function expectError(answer: RawResponse, status: number): void {
  expect([answer.status, answer.headers['content-type']]).toEqual([status, 'application/json']);
  const { code, message } = errorOf(answer);
  const codes: Readonly<Record<number, readonly string[]>> = { 403: ['DENIED'], 429: ['TOOMANYREQUESTS'] };
  expect(codes[status] ?? ['UNAVAILABLE', 'UNKNOWN']).toContain(code);
  expect(message).toContain('lab.test');
  if (status === 503 || status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
}

describe.each(questions)('$name, when the upstream', (question) => {
  it.each(failures(question, false))(
    '$name: an error where nothing is known, never 404 and never a list',
    async (outage) => {
      await using scene = await sceneFor(outage);
      const { weir, signed, ask } = scene;
      await outage.begin(weir.upstream, question.match(signed.image));
      expectError(await ask(question), outage.status);
      // Right after it, when the upstream may be left alone, and for HEAD, which may do without what is broken.
      for (const method of ['GET', 'HEAD']) {
        const { status, body } = await ask(question, signed, method);
        expect(status === 200 ? method : status).not.toBe(404);
        if (method === 'GET')
          expect([status >= 400, body.toString()]).toEqual([true, expect.stringContaining('"errors"')]);
      }
      await end(outage, scene);
      expect(question.held(await ask(question), signed)).toEqual(question.all(signed));
    },
  );

  it.each(failures(question, true))(
    '$name: what is known, marked stale when its time is up, then an error',
    async (outage) => {
      await using scene = await sceneFor(outage);
      const { weir, signed, ask, clock } = scene;
      expect(question.held(await ask(question), signed)).toEqual(question.all(signed));
      const newer = question.sign(weir.upstream, signed);
      await outage.begin(weir.upstream, question.match(signed.image));
      weir.upstream.forgetRequests();
      const warm = await weir.ask(question.path(signed.image));
      expect([question.held(warm, signed), weir.upstream.requests]).toEqual([question.all(signed), []]);
      await clock.advance(freshMs);
      for (let i = 0; i < 2; i++) {
        const expired = await ask(question);
        if (outage.isRefusal === true) expectError(expired, 403);
        else {
          expect(question.held(expired, signed)).toEqual(question.all(signed));
          expect(expired.headers['cache-status']).toMatch(/^weir; hit; ttl=-?[0-9]+; detail=stale$/);
        }
      }
      await clock.advance(staleIfErrorMs + freshMs);
      expectError(await ask(question), outage.downStatus ?? outage.status);
      await end(outage, scene);
      expect(question.held(await ask(question), signed)).toEqual(newer);
    },
  );
});
