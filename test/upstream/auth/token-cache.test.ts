import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/lib/secret.ts';
import type { Token } from '../../../src/upstream/auth/token-response.ts';
import { TokenCache, type TokenQuestion } from '../../../src/upstream/auth/token-cache.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { Gate } from '../../support/gate.ts';

const { signal } = new AbortController();
const question: TokenQuestion = {
  realm: new URL('https://auth.test/token'),
  service: 's',
  scopes: ['repository:a:pull'],
  identity: undefined,
};

/** A token server that counts, and gives tokens of so many seconds. */
function issuer(seconds = 300): { fetch: () => Promise<Token>; count: number } {
  const self = {
    count: 0,
    fetch: (): Promise<Token> => Promise.resolve({ value: new Secret(`t${++self.count}`), lifetimeMs: seconds * 1000 }),
  };
  return self;
}

describe('TokenCache', () => {
  it('asks once for a hundred concurrent callers', async () => {
    const cache = new TokenCache(new FakeClock());
    const gate = new Gate();
    let fetches = 0;
    const fetch = async (): Promise<Token> => {
      fetches++;
      await gate.pass();
      return { value: new Secret('t'), lifetimeMs: 60_000 };
    };
    const callers = Array.from({ length: 100 }, () => cache.get(question, fetch, signal));
    await gate.arrived();
    gate.open();
    const values = (await Promise.all(callers)).map(({ value }) => value.reveal());
    expect(new Set(values)).toEqual(new Set(['t']));
    expect(fetches).toBe(1);
  });

  it.each([
    [60, 54],
    [300, 270],
    [3600, 3570],
  ])('uses a token of %i s for %i s', async (lifetime, used) => {
    const clock = new FakeClock();
    const cache = new TokenCache(clock);
    const tokens = issuer(lifetime);
    await cache.get(question, tokens.fetch, signal);
    await clock.advance(used * 1000 - 1);
    await cache.get(question, tokens.fetch, signal);
    expect(tokens.count).toBe(1);
    await clock.advance(1);
    expect((await cache.get(question, tokens.fetch, signal)).value.reveal()).toBe('t2');
  });

  it('does not look at the wall clock', async () => {
    const clock = new FakeClock();
    const cache = new TokenCache(clock);
    const tokens = issuer();
    await cache.get(question, tokens.fetch, signal);
    clock.setWallTime(Date.UTC(2036, 0, 1));
    await cache.get(question, tokens.fetch, signal);
    expect(tokens.count).toBe(1);
  });

  it('counts the lifetime from the start of the request', async () => {
    const clock = new FakeClock();
    const cache = new TokenCache(clock);
    const tokens = issuer(60);
    const slow = async (): Promise<Token> => {
      await clock.advance(10_000);
      return tokens.fetch();
    };
    await cache.get(question, slow, signal);
    await clock.advance(44_000);
    await cache.get(question, tokens.fetch, signal);
    expect(tokens.count).toBe(2);
  });

  it('never gives the token of one question to another', async () => {
    const text = fc.constantFrom('a', 'b', 'a,b', '', '"', '\u0000');
    const anyQuestion = fc.record({
      realm: fc.constantFrom('https://r.test/', 'https://r.test/?x', 'https://s.test/').map((url) => new URL(url)),
      service: fc.option(text, { nil: undefined }),
      scopes: fc.array(text, { maxLength: 3 }),
      identity: fc.option(text, { nil: undefined }),
    });
    const same = (a: TokenQuestion, b: TokenQuestion): boolean =>
      a.realm.href === b.realm.href &&
      a.service === b.service &&
      a.identity === b.identity &&
      a.scopes.length === b.scopes.length &&
      a.scopes.toSorted().every((scope, i) => scope === b.scopes.toSorted()[i]);
    await fc.assert(
      fc.asyncProperty(anyQuestion, anyQuestion, async (first, second) => {
        const cache = new TokenCache(new FakeClock());
        const tokens = issuer();
        await cache.get(first, tokens.fetch, signal);
        await cache.get(second, tokens.fetch, signal);
        expect(tokens.count).toBe(same(first, second) ? 1 : 2);
      }),
    );
  });

  it('tells realms apart by path and query', async () => {
    const cache = new TokenCache(new FakeClock());
    const tokens = issuer();
    for (const realm of [
      'https://r.test/',
      'https://r.test/a',
      'https://r.test/a?b',
      'https://s.test/',
      'http://r.test/',
    ]) {
      await cache.get({ ...question, realm: new URL(realm) }, tokens.fetch, signal);
    }
    expect(tokens.count).toBe(5);
  });

  it('forgets a dropped token, but not the one that replaced it', async () => {
    const cache = new TokenCache(new FakeClock());
    const tokens = issuer();
    const first = await cache.get(question, tokens.fetch, signal);
    cache.drop(question, first.value);
    const second = await cache.get(question, tokens.fetch, signal);
    expect(second.number).toBeGreaterThan(first.number);
    cache.drop(question, first.value);
    expect((await cache.get(question, tokens.fetch, signal)).value).toBe(second.value);
    expect(tokens.count).toBe(2);
  });

  it('remembers no failure', async () => {
    const cache = new TokenCache(new FakeClock());
    const tokens = issuer();
    await expect(cache.get(question, () => Promise.reject(new Error('down')), signal)).rejects.toThrow('down');
    expect((await cache.get(question, tokens.fetch, signal)).value.reveal()).toBe('t1');
  });

  it('goes on fetching for the others when one caller leaves', async () => {
    const cache = new TokenCache(new FakeClock());
    const gate = new Gate();
    const tokens = issuer();
    const fetch = async (): Promise<Token> => {
      await gate.pass();
      return tokens.fetch();
    };
    const control = new AbortController();
    const leaving = expect(cache.get(question, fetch, control.signal)).rejects.toThrow('left');
    const staying = cache.get(question, fetch, signal);
    await gate.arrived();
    control.abort(new Error('left'));
    await leaving;
    gate.open();
    expect((await staying).value.reveal()).toBe('t1');
  });

  it('holds a bounded number of tokens', async () => {
    const cache = new TokenCache(new FakeClock());
    const tokens = issuer();
    for (let i = 0; i <= 1000; i++)
      await cache.get({ ...question, scopes: [`repository:r${i}:pull`] }, tokens.fetch, signal);
    await cache.get({ ...question, scopes: ['repository:r0:pull'] }, tokens.fetch, signal);
    expect(tokens.count).toBe(1002);
  });
});
