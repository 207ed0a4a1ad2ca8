import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { credentialIdentity } from '../../../src/upstream/credentials/credentials.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { TokenClient, type TokenCredential, type TokenRequest } from '../../../src/upstream/auth/token-client.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { Gate } from '../../support/gate.ts';
import { basicCredential, basicOf, type TokenReply, tokenServer } from '../support/auth-servers.ts';
import { senderFor } from '../support/senders.ts';
import { serve } from '../support/servers.ts';

const scopes = ['repository:a/b:pull'];
const user = basicCredential('me', 'p:ä"ss') as TokenCredential;
const { signal } = new AbortController();

function identityToken(username?: string): TokenCredential {
  return {
    kind: 'identityToken',
    name: 'test',
    identity: credentialIdentity('x'),
    username,
    token: new Secret('refresh+me'),
  };
}

/** What one request for a token comes to, with the queries it took. */
async function fetchToken(
  reply: Parameters<typeof tokenServer>[0],
  request: Partial<TokenRequest> = {},
  path = '/token',
): ReturnType<typeof outcomeOf> {
  await using tokens = await tokenServer(reply);
  await using sender = senderFor(tokens.server.url);
  const client = new TokenClient({ upstream: 'test', sender, clock: systemClock, timeoutMs: 10_000 });
  const realm = new URL(path, tokens.server.url);
  const wanted = { realm, service: 's', scopes, credential: undefined, credentialSet: 'anonymous', ...request };
  return await outcomeOf(client.fetch(wanted, signal), tokens);
}

async function outcomeOf(
  promise: ReturnType<TokenClient['fetch']>,
  { queries, server }: Pick<Awaited<ReturnType<typeof tokenServer>>, 'queries' | 'server'>,
): Promise<{
  result: string;
  error?: UpstreamError;
  queries: typeof queries;
  headers: (typeof server.seen)[0]['headers'][];
}> {
  const headers = server.seen.map((seen) => seen.headers);
  try {
    const { lifetimeMs } = await promise;
    return { result: `token for ${lifetimeMs / 1000} s`, queries, headers: server.seen.map((seen) => seen.headers) };
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    expect(error.upstream).toBe('test');
    return { result: error.kind, error, queries, headers };
  }
}

describe('TokenClient by GET', () => {
  it('asks anonymously with service and every scope', async () => {
    const { result, queries, headers } = await fetchToken(undefined, { scopes: ['aws', 'repository:a/b:pull'] });
    expect(result).toBe('token for 300 s');
    expect(queries).toHaveLength(1);
    expect(queries[0]?.url.search).toBe('?service=s&scope=aws&scope=repository:a/b:pull');
    expect(headers[0]?.authorization).toBeUndefined();
    expect(headers[0]?.['accept-encoding']).toBe('identity');
  });

  it('appends to the query of the realm without rewriting it, and leaves an absent service out', async () => {
    const { queries } = await fetchToken(undefined, { service: undefined }, '/token?a=b%20c&d#x');
    expect(queries[0]?.url.search).toBe('?a=b%20c&d&scope=repository:a/b:pull');
  });

  it('encodes what could change the query', async () => {
    const { queries } = await fetchToken(undefined, { service: 'a&b=c#d e', scopes: ['repository:a/b:pull,x&y'] });
    expect(queries[0]?.service).toBe('a&b=c#d e');
    expect(queries[0]?.scopes).toEqual(['repository:a/b:pull,x&y']);
  });

  it('sends user and password as UTF-8', async () => {
    const { queries } = await fetchToken(undefined, { credential: user });
    expect(queries[0]?.basic).toBe('me:p:ä"ss');
  });

  const replies: readonly (readonly [string, TokenReply, string])[] = [
    ['access_token alone', { json: { token: undefined, access_token: 'x' } }, 'token for 300 s'],
    ['no lifetime', { json: { expires_in: undefined } }, 'token for 60 s'],
    ['200 without a token', { json: { token: undefined } }, 'badResponse'],
    ['HTML', { status: 200, body: '<html>Sign in</html>' }, 'badResponse'],
    ['nothing', { status: 200 }, 'badResponse'],
    ['201', { status: 201, body: '{"token":"x"}' }, 'badResponse'],
    ['204', { status: 204 }, 'badResponse'],
    ['a body of 10 MB', { status: 200, body: `{"token":"${'x'.repeat(1e7)}"}` }, 'tooLarge'],
    ['400', { status: 400 }, 'badResponse'],
    ['401', { status: 401 }, 'denied'],
    ['403', { status: 403, body: '{"errors":[{"code":"DENIED"}]}' }, 'denied'],
    ['404', { status: 404 }, 'badResponse'],
    ['429', { status: 429 }, 'rateLimited'],
    ['500', { status: 500 }, 'serverError'],
    ['503', { status: 503 }, 'serverError'],
  ];

  it.each(replies)('anonymously: %s', async (_name, reply, expected) => {
    const { result, queries } = await fetchToken(() => reply);
    expect(result).toBe(expected);
    expect(queries).toHaveLength(1);
  });

  it('tells how long to wait, in seconds or by date, and the code of the error', async () => {
    const seconds = await fetchToken(() => ({ status: 429, headers: { 'retry-after': '7' } }));
    expect(seconds.error?.retryAfterMs).toBe(7000);
    const date = new Date(Date.now() + 500_000).toUTCString();
    const dated = await fetchToken(() => ({ status: 503, headers: { 'retry-after': date } }));
    expect(dated.error?.retryAfterMs).toBeGreaterThan(490_000);
    const endless = await fetchToken(() => ({ status: 429, headers: { 'retry-after': '9'.repeat(400) } }));
    expect(endless.error?.retryAfterMs).toBeUndefined();
    const denied = await fetchToken(() => ({ status: 403, body: '{"errors":[{"code":"DENIED"}]}' }));
    expect(denied.error).toMatchObject({ status: 403, code: 'DENIED' });
  });

  it('gives up after its time limit, while the head or the body does not come', async () => {
    for (const isHeadSent of [false, true]) {
      const gate = new Gate('token request');
      await using server = await serve((_request, response) => {
        if (isHeadSent) response.writeHead(200).write('{"tok');
        void gate.pass();
      });
      await using sender = senderFor(server.url);
      const clock = new FakeClock();
      const client = new TokenClient({ upstream: 'test', sender, clock, timeoutMs: 10_000 });
      const request = { realm: server.url, service: 's', scopes, credential: undefined, credentialSet: 'anonymous' };
      const failed = expect(client.fetch(request, signal)).rejects.toMatchObject({ kind: 'timeout' });
      await gate.arrived();
      await clock.advance(9_999);
      expect(clock.pending).toBe(1);
      await clock.advance(1);
      await failed;
      expect(clock.pending).toBe(0);
    }
  });

  it('leaves no timer behind and says aborted when the caller gives up', async () => {
    const gate = new Gate('token request');
    await using server = await serve(() => void gate.pass());
    await using sender = senderFor(server.url);
    const clock = new FakeClock();
    const client = new TokenClient({ upstream: 'test', sender, clock, timeoutMs: 10_000 });
    const control = new AbortController();
    const request = { realm: server.url, service: 's', scopes, credential: undefined, credentialSet: 'anonymous' };
    const failed = expect(client.fetch(request, control.signal)).rejects.toMatchObject({ kind: 'aborted' });
    await gate.arrived();
    control.abort(new Error('client left'));
    await failed;
    expect(clock.pending).toBe(0);
  });
});

describe('TokenClient and a refused credential', () => {
  it.each([400, 401, 403])('says so when %i comes with and without a scope', async (status) => {
    const { result, queries, error } = await fetchToken(() => ({ status }), { credential: user });
    expect(result).toBe('credentialRefused');
    expect(queries.map((query) => query.scopes)).toEqual([scopes, []]);
    expect(error?.message).not.toMatch(/ä"ss|bWU6/);
  });

  it.each([400, 401, 403])('says denied when %i is about the scope only', async (status) => {
    const { result, queries } = await fetchToken(({ scopes: asked }) => (asked.length > 0 ? { status } : undefined), {
      credential: user,
    });
    expect(result).toBe('denied');
    expect(queries.map((query) => query.basic)).toEqual(['me:p:ä"ss', 'me:p:ä"ss']);
  });

  it('does not guess while the token server is out of order', async () => {
    const { result } = await fetchToken((_query, number) => ({ status: number === 1 ? 403 : 500 }), {
      credential: user,
    });
    expect(result).toBe('serverError');
  });
});

describe('TokenClient with an identity token', () => {
  it('posts a refresh-token grant, without any Basic header', async () => {
    const { result, queries } = await fetchToken(
      () => ({ json: { token: undefined, access_token: 'x' } }),
      { credential: identityToken('00000000-0000-0000-0000-000000000000'), scopes: ['aws', 'repository:a/b:pull'] },
      '/token?a=b',
    );
    expect(result).toBe('token for 300 s');
    expect(queries).toHaveLength(1);
    expect(queries[0]).toMatchObject({ method: 'POST', basic: undefined });
    expect(queries[0]?.url.search).toBe('?a=b');
    expect(Object.fromEntries(queries[0]?.form ?? [])).toEqual({
      grant_type: 'refresh_token',
      client_id: 'weir',
      refresh_token: 'refresh+me',
      service: 's',
      scope: 'aws repository:a/b:pull',
    });
  });

  it.each([400, 401, 404, 405])('falls back to GET with the stored user name on %i', async (status) => {
    const { result, queries } = await fetchToken(({ method }) => (method === 'POST' ? { status } : undefined), {
      credential: identityToken('someone'),
    });
    expect(result).toBe('token for 300 s');
    expect(queries.map(({ method, basic }) => [method, basic])).toEqual([
      ['POST', undefined],
      ['GET', 'someone:refresh+me'],
    ]);
  });

  it.each([
    [400, 'credentialRefused'],
    [401, 'credentialRefused'],
    [404, 'badResponse'],
    [405, 'badResponse'],
    [429, 'rateLimited'],
  ])('has no other way without a user name: %i is %s', async (status, expected) => {
    const { result, queries } = await fetchToken(() => ({ status }), { credential: identityToken() });
    expect(result).toBe(expected);
    expect(queries.every(({ method }) => method === 'POST')).toBe(true);
  });
});

describe('TokenClient and redirects', () => {
  it('follows them within the origin, with the credential', async () => {
    const { result, queries } = await fetchToken(
      (_query, number) => (number === 1 ? { status: 307, headers: { location: '/other?x=1' } } : undefined),
      { credential: user },
    );
    expect(result).toBe('token for 300 s');
    expect(queries[1]?.url.href).toContain('/other?x=1');
    expect(queries[1]?.basic).toBe('me:p:ä"ss');
  });

  it('gives up in a loop', async () => {
    const { result, queries } = await fetchToken(() => ({ status: 302, headers: { location: '/token' } }));
    expect(result).toBe('redirectRefused');
    expect(queries).toHaveLength(4);
  });

  it.each([301, 302, 303])('does not turn a POST into a GET on %i', async (status) => {
    const { result, queries } = await fetchToken(() => ({ status, headers: { location: '/other' } }), {
      credential: identityToken(),
    });
    expect(result).toBe('redirectRefused');
    expect(queries).toHaveLength(1);
  });

  it.each([301, 302, 303, 307, 308])('never leaves the origin on %i, with a credential or without', async (status) => {
    await using thief = await serve((_request, response) => response.end('{"token":"stolen"}'));
    for (const credential of [undefined, user, identityToken('someone')]) {
      for (const location of [
        thief.url.href,
        `//127.0.0.1:${thief.port}/token`,
        `http://me:pw@127.0.0.1:${thief.port}`,
      ]) {
        const { result, error } = await fetchToken(() => ({ status, headers: { location } }), { credential });
        expect(result).toBe('redirectRefused');
        expect(error?.message).not.toContain('pw@');
      }
    }
    expect(thief.seen).toEqual([]);
    expect(thief.connections).toBe(0);
  });

  it.each(['x:y@', 'x@', ':y@'])('does not follow a Location with user info (%s)', async (userInfo) => {
    await using tokens = await serve((request, response) => {
      const location = `http://${userInfo}${request.headers.host}/other`;
      response.writeHead(307, { location }).end();
    });
    await using sender = senderFor(tokens.url);
    const client = new TokenClient({ upstream: 'test', sender, clock: systemClock, timeoutMs: 10_000 });
    const request = { realm: tokens.url, service: 's', scopes, credential: user, credentialSet: 'x' };
    await expect(client.fetch(request, signal)).rejects.toMatchObject({ kind: 'redirectRefused' });
    expect(tokens.seen.map(basicOf)).toEqual(['me:p:ä"ss']);
  });
});
