import { describe, expect, it } from 'vitest';
import type { Credential } from '../../../src/upstream/credentials/credentials.ts';
import { credentialIdentity } from '../../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually, Gate } from '../../support/gate.ts';
import {
  basicCredential,
  basicOf,
  bearerOf,
  clientOf,
  repository,
  repositoryOf,
  sourceOf,
  tokenRegistry,
  tokenServer,
} from '../support/auth-servers.ts';
import { serve } from '../support/servers.ts';

const me = basicCredential('me', 'secret');

function registryToken(token: string): Credential {
  return { kind: 'registryToken', name: 'test', identity: credentialIdentity(token), token: new Secret(token) };
}

describe('Authorizer with tokens', () => {
  it('sends nothing first, then a token for exactly this repository', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens);
    await using client = clientOf(registry.url);
    const { outcome, sent } = await client.ask('a/b');
    expect(outcome).toBe(200);
    expect(sent[0]).toBeUndefined();
    expect(sent[1]).toMatch(/^Bearer token-1-/);
    expect(tokens.queries.map(({ scopes, service }) => ({ scopes, service }))).toEqual([
      { scopes: ['repository:a/b:pull'], service: 's' },
    ]);
  });

  it('knows the realm afterwards: no challenge, and one token per repository and lifetime', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens);
    const clock = new FakeClock();
    await using client = clientOf(registry.url, { clock });
    await client.ask('a/b');
    expect((await client.ask('a/b')).sent).toHaveLength(1);
    expect((await client.ask('c')).sent).toHaveLength(1);
    expect(tokens.queries).toHaveLength(2);
    await clock.advance(270_000);
    expect((await client.ask('a/b')).sent).toHaveLength(1);
    expect(tokens.queries).toHaveLength(3);
  });

  it('asks the token server once for fifty requests at once', async () => {
    const gate = new Gate('token server');
    await using tokens = await tokenServer(async () => {
      await gate.pass();
      return undefined;
    });
    await using registry = await tokenRegistry(tokens);
    await using client = clientOf(registry.url);
    const asking = Array.from({ length: 50 }, () => client.ask('a/b'));
    await gate.arrived();
    gate.open();
    const outcomes = (await Promise.all(asking)).map(({ outcome }) => outcome);
    expect(new Set(outcomes)).toEqual(new Set([200]));
    expect(tokens.queries).toHaveLength(1);
  });

  it('never shows a token for one repository when asking for another', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens);
    await using client = clientOf(registry.url);
    const names = Array.from({ length: 200 }, (_, i) => `team/r${i % 20}`);
    await Promise.all(names.map((name) => client.ask(name)));
    const shown = registry.seen.flatMap((seen) => {
      const token = bearerOf(seen);
      return token === undefined ? [] : [{ asked: repositoryOf(seen), scopes: tokens.issued.get(token)?.scopes }];
    });
    expect(shown.length).toBeGreaterThanOrEqual(200);
    for (const { asked, scopes } of shown) expect(scopes).toEqual([`repository:${asked}:pull`]);
  });

  it('replaces a token that the registry no longer takes, once', async () => {
    const revoked = new Set<string>();
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, { isAccepted: (token) => !revoked.has(token) });
    await using client = clientOf(registry.url);
    await client.ask('a');
    for (const token of tokens.issued.keys()) revoked.add(token);
    expect(await client.ask('a')).toMatchObject({ outcome: 200, sent: [expect.any(String), expect.any(String)] });
    expect(tokens.queries).toHaveLength(2);
  });

  it('replaces one that somebody else had just fetched and used, once', async () => {
    const first = new Gate('the first token');
    const refused: string[] = [];
    await using tokens = await tokenServer(async (_, number) => {
      if (number === 1) await first.pass();
      return undefined;
    });
    // Each is good for one question.
    await using registry = await tokenRegistry(tokens, {
      isAccepted: (token) => !refused.includes(token) && refused.push(token) > 0,
    });
    await using client = clientOf(registry.url);
    const both = [client.ask('a'), client.ask('a')];
    await first.arrived();
    await eventually(() => registry.seen.length === 2);
    first.open();
    for (const { outcome } of await Promise.all(both)) expect(outcome).toBe(200);
    expect(tokens.queries).toHaveLength(2);
  });

  it('takes no for an answer: a fresh token that is refused is not replaced', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, { isAccepted: () => false });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe('denied');
    expect(tokens.queries).toHaveLength(1);
    expect(registry.seen).toHaveLength(2);
    // Now with a cached token: dropped, and asked for once more.
    expect((await client.ask('a')).sent.length).toBeLessThanOrEqual(2);
    expect(tokens.queries.length).toBeLessThanOrEqual(3);
  });

  it('does not multiply requests when a hundred clients are denied at once', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, { isAccepted: () => false });
    await using client = clientOf(registry.url);
    const all = await Promise.all(Array.from({ length: 100 }, () => client.ask('a')));
    expect(all.every(({ outcome }) => outcome === 'denied')).toBe(true);
    expect(registry.seen.length).toBeLessThanOrEqual(300);
  });

  it('ends, whatever the registry says: a new challenge each time', async () => {
    let number = 0;
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, {
      isAccepted: () => false,
      challenge: () =>
        `Bearer realm="${tokens.server.url.href}t${++number}",service="s${number}",scope="x${number} repository:a:y${number}"`,
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe('denied');
    expect(registry.seen.length).toBeLessThanOrEqual(6);
    expect(tokens.queries.length).toBeLessThanOrEqual(6);
  });

  it('a denial of the token server is a denial, anonymous and with a good credential', async () => {
    for (const credential of [undefined, me]) {
      await using tokens = await tokenServer(({ scopes }) => (scopes.length > 0 ? { status: 403 } : undefined));
      await using registry = await tokenRegistry(tokens);
      await using client = clientOf(registry.url, {
        credentials: credential && sourceOf(() => credential),
        realms: [tokens.server.url.origin],
      });
      await expect(client.ask('a')).rejects.toMatchObject({ kind: 'denied', upstream: 'test' });
    }
  });

  it('a refused credential is an outage of ours, and a rotated one is taken up at once', async () => {
    await using tokens = await tokenServer(({ basic }) => (basic === 'me:new' ? undefined : { status: 401 }));
    await using registry = await tokenRegistry(tokens);
    let password = 'old';
    const credentials = sourceOf(() => basicCredential('me', password));
    await using client = clientOf(registry.url, { credentials, realms: [tokens.server.url.origin] });
    await expect(client.ask('a')).rejects.toMatchObject({ kind: 'credentialRefused' });
    expect(credentials.refusals).toBe(1);
    credentials.refused = () => {
      password = 'new';
    };
    expect((await client.ask('a')).outcome).toBe(200);
  });

  it('ends with a source that has a new secret every time', async () => {
    await using tokens = await tokenServer(() => ({ status: 401 }));
    await using registry = await tokenRegistry(tokens);
    let number = 0;
    const credentials = sourceOf(() => basicCredential('me', `p${++number}`));
    await using client = clientOf(registry.url, { credentials, realms: [tokens.server.url.origin] });
    await expect(client.ask('a')).rejects.toMatchObject({ kind: 'credentialRefused' });
    expect(credentials.refusals).toBe(1);
    expect(tokens.queries).toHaveLength(4);
  });

  it('gives each credential its own token', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens);
    let current: Credential | undefined = basicCredential('one', 'x');
    await using client = clientOf(registry.url, {
      credentials: sourceOf(() => current),
      realms: [tokens.server.url.origin],
    });
    await client.ask('a');
    current = basicCredential('two', 'x');
    await client.ask('a');
    current = undefined;
    await client.ask('a');
    expect(tokens.queries.map(({ basic }) => basic)).toEqual(['one:x', 'two:x', undefined]);
  });

  it.each([
    [429, 'rateLimited'],
    [503, 'serverError'],
    [404, 'badResponse'],
  ])('passes an outage of the token server on: %i', async (status, kind) => {
    await using tokens = await tokenServer(() => ({ status, headers: { 'retry-after': '7' } }));
    await using registry = await tokenRegistry(tokens);
    await using client = clientOf(registry.url);
    for (const count of [1, 2]) {
      await expect(client.ask('a')).rejects.toMatchObject({ kind });
      // However the registry is asked about that: the token server once each time.
      expect(tokens.queries).toHaveLength(count);
    }
  });

  it('asks the registry again where its token server is, when that is gone', async () => {
    const before = await tokenServer();
    await using after = await tokenServer();
    let current = before;
    const issued = { get: (token: string) => current.issued.get(token) } as typeof before.issued;
    await using registry = await tokenRegistry(
      { server: before.server, issued },
      {
        challenge: () => `Bearer realm="${current.server.url.href}token",service="s"`,
      },
    );
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe(200);
    await before[Symbol.asyncDispose]();
    current = after;
    expect(await client.ask('b')).toMatchObject({ outcome: 200, sent: [undefined, expect.stringMatching(/^Bearer /)] });
  });

  it('asks without a token while none is to be had, and takes no refusal of that for an answer', async () => {
    const tokens = await tokenServer();
    const status = { open: 200 };
    await using registry = await tokenRegistry(tokens, { open: ['open', status] });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe(200);
    await tokens[Symbol.asyncDispose]();
    expect(await client.ask('open')).toMatchObject({ outcome: 200, sent: [undefined] });
    const before = registry.seen.length;
    for (let i = 0; i < 3; i++) await expect(client.ask('b')).rejects.toMatchObject({ kind: 'unreachable' });
    expect(registry.seen.length - before).toBe(3);
    for (status.open of [404, 400, 403])
      await expect(client.ask('open')).rejects.toMatchObject({ kind: 'unreachable' });
    // 405 is about the method, and whoever asks goes on with another.
    for (status.open of [405, 429, 500]) expect((await client.ask('open')).outcome).toBe(status.open);
  });
});

describe('Authorizer and the ways of registries', () => {
  it('builds the scope itself where GHCR names a placeholder', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, {
      challenge: () => `Bearer realm="${tokens.server.url.href}",service="ghcr.io",scope="repository:user/image:pull"`,
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('org/app')).outcome).toBe(200);
    expect(tokens.queries[0]?.scopes).toEqual(['repository:org/app:pull']);
  });

  it('adds the scope that ECR Public insists on, for every repository after the first without a challenge', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, {
      challenge: () => `Bearer realm="${tokens.server.url.href}",service="public.ecr.aws",scope="aws"`,
      isAccepted: (token) => tokens.issued.get(token)?.scopes.includes('aws') === true,
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe(200);
    expect((await client.ask('b')).sent).toHaveLength(1);
    expect(tokens.queries.map(({ scopes }) => scopes)).toEqual([
      ['aws', 'repository:a:pull'],
      ['aws', 'repository:b:pull'],
    ]);
  });

  it('asks for more of the same repository when a token was not enough (Azure metadata_read)', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(
      { server: tokens.server, issued: new Map() },
      { challenge: () => undefined },
    );
    await using azure = await serve((request, response) => {
      const scopes = tokens.issued.get(bearerOf(request) ?? '')?.scopes ?? [];
      const [more, less] = ['repository:a:metadata_read,pull', 'repository:a:pull'];
      if (scopes.includes(more)) return void response.end('content');
      const asked = scopes.includes(less) ? 'repository:a:metadata_read' : less;
      const line = `Bearer realm="${tokens.server.url.href}",service="s",scope="${asked}",error="insufficient_scope"`;
      response.writeHead(401, { 'www-authenticate': line }).end();
    });
    await using client = clientOf(azure.url);
    expect((await client.ask('a')).outcome).toBe(200);
    expect((await client.ask('a')).sent).toHaveLength(1);
    expect(registry.seen).toEqual([]);
  });

  it('keeps to the first realm when nvcr.io points a bad token elsewhere', async () => {
    await using second = await tokenServer(() => ({ status: 401 }));
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, {
      isAccepted: () => false,
      challenge: (request) =>
        request.headers.authorization === undefined
          ? `Bearer realm="${tokens.server.url.href}proxy_auth",scope="repository:${repositoryOf(request)}:pull"`
          : `Bearer realm="${second.server.url.href}token",service="registry"`,
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('nvidia/x')).outcome).toBe('denied');
    // And again from memory, where the first request already carries a token.
    expect((await client.ask('nvidia/x')).outcome).toBe('denied');
    expect(second.queries).toEqual([]);
    expect(registry.seen.map(({ headers }) => headers.authorization !== undefined)).toEqual([false, true, true, false]);
    expect(tokens.queries).toHaveLength(2);
    for (const { service } of tokens.queries) expect(service).toBeUndefined();
  });

  it('finds the realm of each repository where they differ (path-based proxies)', async () => {
    await using left = await tokenServer();
    await using right = await tokenServer();
    const serverFor = (name: string): typeof left => (name.startsWith('left') ? left : right);
    await using registry = await serve((request, response) => {
      const name = repositoryOf(request);
      const { issued, server } = serverFor(name);
      if (issued.get(bearerOf(request) ?? '')?.scopes.includes(`repository:${name}:pull`) === true) {
        return void response.end('content');
      }
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url.href}token",service="s"` }).end();
    });
    await using client = clientOf(registry.url);
    for (const name of ['left/a', 'right/a', 'left/b', 'right/b', 'left/a', 'right/a']) {
      expect([name, (await client.ask(name)).outcome]).toEqual([name, 200]);
    }
    expect((await client.ask('left/a')).sent).toHaveLength(1);
    expect((await client.ask('right/a')).sent).toHaveLength(1);
  });

  it('asks /v2/ where a 401 carries no challenge (old gcr.io)', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens, {
      challenge: (request) =>
        request.url === '/v2/' ? `Bearer realm="${tokens.server.url.href}token",service="s"` : undefined,
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe(200);
    expect(registry.seen.map(({ url }) => url)).toEqual(['/v2/a/manifests/latest', '/v2/', '/v2/a/manifests/latest']);
    expect((await client.ask('b')).sent).toHaveLength(1);
  });

  it('asks /v2/ under the path of an endpoint', async () => {
    await using tokens = await tokenServer();
    await using registry = await serve((request, response) => {
      const line = `Bearer realm="${tokens.server.url.href}token"`;
      response.writeHead(401, request.url === '/api/docker/v2/' ? { 'www-authenticate': line } : {}).end();
    });
    await using client = clientOf(new URL('/api/docker', registry.url));
    await client.ask('a');
    expect(registry.seen.map(({ url }) => url)).toContain('/api/docker/v2/');
    expect(tokens.queries).toHaveLength(1);
  });

  it.each([
    [200, 'denied'],
    [401, 'denied'],
    [404, 'denied'],
  ])('a 401 without any challenge is a denial when /v2/ answers %i', async (status, outcome) => {
    await using registry = await serve((request, response) => {
      response.writeHead(request.url === '/v2/' ? status : 401).end();
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe(outcome);
  });

  it.each([
    [429, 'rateLimited'],
    [502, 'serverError'],
  ])('and an outage when it answers %i', async (status, kind) => {
    await using registry = await serve((request, response) => {
      response.writeHead(request.url === '/v2/' ? status : 401).end();
    });
    await using client = clientOf(registry.url);
    await expect(client.ask('a')).rejects.toMatchObject({ kind });
  });

  it('says what is wrong with a realm that is none', async () => {
    await using registry = await serve((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="/token"' }).end();
    });
    await using client = clientOf(registry.url);
    await expect(client.ask('a')).rejects.toMatchObject({ kind: 'badResponse' });
    expect(client.rejected).toEqual(['realm']);
  });

  it('begins anew at another registry, with what belongs there', async () => {
    await using homeTokens = await tokenServer();
    await using home = await tokenRegistry(homeTokens);
    await using awayTokens = await tokenServer();
    await using away = await tokenRegistry(awayTokens);
    await using client = clientOf(home.url, {
      credentials: sourceOf(
        () => me,
        (registry) => registry.origin === home.url.origin,
      ),
      realms: [homeTokens.server.url.origin],
    });
    expect((await client.ask('a')).outcome).toBe(200);
    expect((await client.ask('a', away.url)).outcome).toBe(200);
    expect((await client.ask('a')).sent).toHaveLength(1);
    expect((await client.ask('a', away.url)).sent).toHaveLength(1);
    expect(homeTokens.queries.map(({ basic }) => basic)).toEqual(['me:secret']);
    expect(awayTokens.queries.map(({ basic }) => basic)).toEqual([undefined]);
  });
});

describe('Authorizer with Basic and ready-made tokens', () => {
  it('shows user and password only after the registry asked for them, then at once', async () => {
    await using registry = await serve((request, response) => {
      if (basicOf(request) === 'me:secret') return void response.end('content');
      response
        .writeHead(401, { 'www-authenticate': 'Basic realm="x",service="ecr.amazonaws.com"' })
        .end('Not Authorized');
    });
    await using client = clientOf(registry.url, { credentials: sourceOf(() => me) });
    expect((await client.ask('a')).sent).toEqual([undefined, expect.stringMatching(/^Basic /)]);
    expect((await client.ask('b')).sent).toEqual([expect.stringMatching(/^Basic /)]);
  });

  it('is denied where Basic is wanted and there is no credential', async () => {
    await using registry = await serve((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    await using client = clientOf(registry.url);
    expect((await client.ask('a')).outcome).toBe('denied');
    expect((await client.ask('a')).outcome).toBe('denied');
    expect(registry.seen).toHaveLength(2);
  });

  it('a 401 to Basic refuses the credential, a 403 the repository', async () => {
    await using registry = await serve((request, response) => {
      if (basicOf(request) === undefined) return void response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
      response.writeHead(request.url?.includes('private') === true ? 403 : 401, { 'www-authenticate': 'Basic' }).end();
    });
    const credentials = sourceOf(() => me);
    await using client = clientOf(registry.url, { credentials });
    expect((await client.ask('a')).outcome).toBe('credentialRefused');
    expect(credentials.refusals).toBe(1);
    expect((await client.ask('private')).outcome).toBe('denied');
    expect(registry.seen).toHaveLength(3);
  });

  it('tries a renewed user and password once', async () => {
    await using registry = await serve((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    });
    let number = 0;
    await using client = clientOf(registry.url, { credentials: sourceOf(() => basicCredential('me', `p${++number}`)) });
    expect((await client.ask('a')).outcome).toBe('credentialRefused');
    expect(registry.seen).toHaveLength(3);
  });

  const expired =
    '{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}';

  it('renews the credential when ECR says 403 because it expired', async () => {
    await using registry = await serve((request, response) => {
      const basic = basicOf(request);
      if (basic === 'AWS:new') return void response.end('content');
      response.writeHead(basic === undefined ? 401 : 403, { 'www-authenticate': 'Basic' }).end(expired);
    });
    let password = 'old';
    const credentials = sourceOf(() => basicCredential('AWS', password));
    credentials.refused = () => {
      password = 'new';
    };
    await using client = clientOf(registry.url, { credentials });
    expect((await client.ask('a')).outcome).toBe(200);
    expect(registry.seen.map(basicOf)).toEqual([undefined, 'AWS:old', 'AWS:new']);
  });

  it('and says that the credential is refused when there is no newer one', async () => {
    await using registry = await serve((request, response) => {
      response.writeHead(basicOf(request) === undefined ? 401 : 403, { 'www-authenticate': 'Basic' }).end(expired);
    });
    await using client = clientOf(registry.url, { credentials: sourceOf(() => me) });
    expect((await client.ask('a')).outcome).toBe('credentialRefused');
  });

  it('follows a registry from Basic to tokens', async () => {
    await using tokens = await tokenServer();
    let isBasic = true;
    await using registry = await serve((request, response) => {
      const hasToken = tokens.issued.has(bearerOf(request) ?? '');
      if (isBasic ? basicOf(request) === 'me:secret' : hasToken) return void response.end('content');
      const line = isBasic ? 'Basic' : `Bearer realm="${tokens.server.url.href}"`;
      response.writeHead(401, { 'www-authenticate': line }).end();
    });
    await using client = clientOf(registry.url, {
      credentials: sourceOf(() => me),
      realms: [tokens.server.url.origin],
    });
    expect((await client.ask('a')).outcome).toBe(200);
    isBasic = false;
    expect((await client.ask('a')).outcome).toBe(200);
    isBasic = true;
    expect((await client.ask('a')).outcome).toBe(200);
  });

  it('sends a registry token as it is, without a challenge', async () => {
    await using registry = await serve((request, response) => {
      if (bearerOf(request) === 'ready') return void response.end('content');
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="https://auth.test/",error="invalid_token"' }).end();
    });
    await using good = clientOf(registry.url, { credentials: sourceOf(() => registryToken('ready')) });
    expect((await good.ask('a')).sent).toEqual(['Bearer ready']);
    await using bad = clientOf(registry.url, { credentials: sourceOf(() => registryToken('stale')) });
    expect(await bad.ask('a')).toEqual({ outcome: 'credentialRefused', sent: ['Bearer stale'] });
  });

  it('reads a registry token that lacks the scope as a denial', async () => {
    await using registry = await serve((_request, response) => {
      response
        .writeHead(401, { 'www-authenticate': 'Bearer realm="https://a.test/",error="insufficient_scope"' })
        .end();
    });
    await using client = clientOf(registry.url, { credentials: sourceOf(() => registryToken('ready')) });
    expect((await client.ask('a')).outcome).toBe('denied');
  });
});

describe('Authorizer and its callers', () => {
  it('rejects with UpstreamError when the caller gives up, and fetches on for the others', async () => {
    const gate = new Gate('token server');
    await using tokens = await tokenServer(async () => {
      await gate.pass();
      return undefined;
    });
    await using registry = await tokenRegistry(tokens);
    await using client = clientOf(registry.url);
    gate.open();
    await client.ask('b');
    gate.close();
    const exchange = client.authorizer.begin(registry.url, repository('a'));
    const control = new AbortController();
    const failed = expect(exchange.authorization(control.signal)).rejects.toMatchObject({ kind: 'aborted' });
    await gate.arrived(2);
    control.abort('gone');
    await failed;
    gate.open();
    expect((await client.ask('a')).outcome).toBe(200);
    expect(tokens.queries).toHaveLength(2);
  });

  it('names the pool after the credential that is really used', async () => {
    await using tokens = await tokenServer();
    await using registry = await tokenRegistry(tokens);
    const { signal } = new AbortController();
    for (const [realms, expected] of [
      [[tokens.server.url.origin], 'test file ghcr.io/org'],
      [[], 'anonymous'],
    ] as const) {
      await using client = clientOf(registry.url, {
        credentials: sourceOf(() => basicCredential('me', 'x', 'file ghcr.io/org')),
        realms,
      });
      await client.ask('a');
      const { credentialSet } = await client.authorizer.begin(registry.url, repository('a')).authorization(signal);
      expect(credentialSet).toBe(expected);
    }
  });
});
