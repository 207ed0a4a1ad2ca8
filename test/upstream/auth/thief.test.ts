/** What belongs to one registry reaches nobody else, whatever challenges say: every server here records what it is sent. */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Authorizer } from '../../../src/upstream/auth/authorizer.ts';
import { type Credential, credentialIdentity } from '../../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../../src/lib/secret.ts';
import type { OutgoingRequest, Sender } from '../../../src/upstream/exchange/sender.ts';
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
import { serve, type TestServer } from '../support/servers.ts';

const canary = 'c4n4ry-s3cret';
const credentials: readonly Credential[] = [
  basicCredential('me', canary),
  { kind: 'identityToken', name: 'test', identity: credentialIdentity('i'), username: 'me', token: new Secret(canary) },
];

/** Everything that came in, decoded, in one text. */
function allOf(server: TestServer, bodies: readonly string[]): string {
  return [...server.seen.map((seen) => `${seen.url} ${JSON.stringify(seen.headers)} ${basicOf(seen)}`), ...bodies].join(
    '\n',
  );
}

/** A token server that nobody trusts. It takes notes, and is friendly. */
async function thief(host?: string): Promise<TestServer & { readonly bodies: string[]; readonly text: () => string }> {
  const bodies: string[] = [];
  const server = await serve((request, response) => {
    request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
    request.on('end', () => response.end('{"token":"from-the-thief"}'));
  }, host);
  return Object.assign(server, { bodies, text: () => allOf(server, bodies) });
}

describe('a thief', () => {
  it.each(credentials)('named as realm gets an anonymous question: $kind', async (credential) => {
    await using evil = await thief();
    await using registry = await serve((_request, response) => {
      const challenge = `Bearer realm="${evil.url.href}token",service="s",scope="x"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    });
    await using client = clientOf(registry.url, { credentials: sourceOf(() => credential) });
    await expect(client.ask('a')).rejects.toMatchObject({
      kind: 'redirectRefused',
      message: expect.stringContaining('upstreams.test.realms'),
    });
    expect(evil.seen.length).toBeGreaterThan(0);
    expect(evil.text()).not.toContain(canary);
    expect(evil.seen.every(({ method, headers }) => method === 'GET' && headers.authorization === undefined)).toBe(
      true,
    );
    expect(client.rejected).toContain('realm');
    // What the thief gave away came to the registry instead: that is no secret.
    expect(registry.seen.map(bearerOf)).toContain('from-the-thief');
  });

  it('on the same port of another loopback name or on another port of the same gets nothing', async () => {
    await using sameName = await thief();
    await using otherName = await thief('127.0.0.2');
    for (const evil of [sameName, otherName]) {
      await using registry = await serve((_request, response) => {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${evil.url.href}"` }).end();
      });
      await using client = clientOf(registry.url, { credentials: sourceOf(() => credentials[0]) });
      await expect(client.ask('a')).rejects.toMatchObject({ kind: 'redirectRefused' });
      expect(evil.seen.length).toBeGreaterThan(0);
      expect(evil.text()).not.toContain(canary);
    }
  });

  it('named with user info or another scheme is not asked at all', async () => {
    await using evil = await thief();
    const realms = [
      `http://me:pw@127.0.0.1:${evil.port}/`,
      `ftp://127.0.0.1:${evil.port}/`,
      '//127.0.0.1/',
      'file:///etc/passwd',
    ];
    for (const realm of realms) {
      await using registry = await serve((_request, response) => {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
      });
      await using client = clientOf(registry.url, { credentials: sourceOf(() => credentials[0]) });
      await expect(client.ask('a')).rejects.toMatchObject({ kind: 'badResponse' });
      expect(registry.seen).toHaveLength(1);
    }
    expect(evil.connections).toBe(0);
  });

  it('that the real token server redirects to gets nothing', async () => {
    await using evil = await thief();
    for (const credential of credentials) {
      await using tokens = await tokenServer(() => ({ status: 307, headers: { location: evil.url.href } }));
      await using registry = await tokenRegistry(tokens);
      await using client = clientOf(registry.url, {
        credentials: sourceOf(() => credential),
        realms: [tokens.server.url.origin],
      });
      await expect(client.ask('a')).rejects.toMatchObject({ kind: 'redirectRefused' });
      expect(tokens.queries.length).toBeGreaterThan(0);
    }
    expect(evil.connections).toBe(0);
  });

  it('that answers as another registry with a Basic challenge gets nothing', async () => {
    await using evil = await serve((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="ghcr.io"' }).end();
    });
    await using home = await serve((request, response) => {
      if (basicOf(request) === `me:${canary}`) return void response.end('content');
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    });
    const source = sourceOf(
      () => credentials[0],
      (registry) => registry.origin === home.url.origin,
    );
    await using client = clientOf(home.url, { credentials: source });
    expect((await client.ask('a')).outcome).toBe(200);
    expect((await client.ask('a', evil.url)).outcome).toBe('denied');
    expect(evil.seen.length).toBeGreaterThan(0);
    expect(allOf(evil, [])).not.toContain(canary);
    expect(client.authorizer.mayUseCredential(home.url)).toBe(true);
    expect(client.authorizer.mayUseCredential(evil.url)).toBe(false);
  });

  it('that names the realm of the real registry gets an anonymous token at most', async () => {
    await using tokens = await tokenServer();
    await using home = await tokenRegistry(tokens);
    await using evil = await serve((_request, response) => {
      const challenge = `Bearer realm="${tokens.server.url.href}token",service="s",scope="repository:a:pull"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    });
    const source = sourceOf(
      () => credentials[0],
      (registry) => registry.origin === home.url.origin,
    );
    await using client = clientOf(home.url, { credentials: source, realms: [tokens.server.url.origin] });
    expect((await client.ask('a')).outcome).toBe(200);
    expect((await client.ask('a', evil.url)).outcome).toBe('denied');
    for (const token of evil.seen.map(bearerOf)) {
      if (token !== undefined) expect(tokens.issued.get(token)?.basic).toBeUndefined();
    }
    expect(evil.seen.map(bearerOf).filter((token) => token !== undefined)).not.toEqual([]);
  });

  it('on plain http gets nothing from a source that would answer, unless the endpoint is configured so', async () => {
    await using plain = await serve((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    });
    await using home = await serve((_request, response) => response.end('content'));
    await using client = clientOf(home.url, { credentials: sourceOf(() => credentials[0]) });
    await client.ask('a');
    expect((await client.ask('a', plain.url)).outcome).toBe('denied');
    expect(allOf(plain, [])).not.toContain(canary);
    expect(client.authorizer.mayUseCredential(new URL('https://other.test'))).toBe(true);
  });
});

describe('realms that configuration lists', () => {
  /** A network without servers: every registry wants a token from auth.test, which gives one. */
  function network(): Sender & { readonly requests: OutgoingRequest[] } {
    const requests: OutgoingRequest[] = [];
    return {
      requests,
      send(request) {
        requests.push(request);
        const isToken = request.url.hostname === 'auth.test';
        const headers = { 'www-authenticate': 'Bearer realm="https://auth.test/token"' };
        const body = Readable.from(isToken ? [Buffer.from('{"token":"t"}')] : []);
        return Promise.resolve({
          status: isToken ? 200 : 401,
          headers,
          body,
          discard: async () => undefined,
          abort: () => undefined,
        });
      },
      close: () => Promise.resolve(),
    };
  }

  it.each([
    ['https://home.test', true],
    ['https://away.test', false],
  ])('are those of the configured endpoints: %s', async (place, isTrusted) => {
    const sender = network();
    const registry = new URL(place);
    const authorizer = new Authorizer({
      upstream: 'test',
      sender,
      credentials: sourceOf(() => credentials[0]),
      endpoints: [new URL('https://home.test')],
      realms: ['auth.test'],
      events: { upstreamRejected: () => undefined },
    });
    const { signal } = new AbortController();
    const exchange = authorizer.begin(registry, repository('a'));
    await exchange.authorization(signal);
    const wwwAuthenticate = ['Bearer realm="https://auth.test/token"'];
    expect(await exchange.challenged({ status: 401, wwwAuthenticate, body: undefined }, signal)).toBe('retry');
    expect((await exchange.authorization(signal)).header).toBe('Bearer t');
    expect(sender.requests.map(({ url, headers }) => [url.hostname, 'authorization' in headers])).toEqual([
      ['auth.test', isTrusted],
    ]);
  });
});

describe('two upstreams at once', () => {
  it('never mix up credentials or tokens, over thousands of interleaved requests', async () => {
    const requests = 2000;
    const sides = await Promise.all(
      ['one', 'two', 'three'].map(async (name) => {
        const tokens = await tokenServer(({ basic }) =>
          basic === `${name}:${canary}-${name}` ? undefined : { status: 401 },
        );
        const registry = await tokenRegistry(tokens);
        const client = clientOf(registry.url, {
          upstream: name,
          credentials: sourceOf(() => basicCredential(name, `${canary}-${name}`)),
          realms: [tokens.server.url.origin],
        });
        return { name, tokens, registry, client };
      }),
    );
    await using stack = new AsyncDisposableStack();
    for (const { tokens, registry, client } of sides) {
      stack.use(client);
      stack.use(registry);
      stack.use(tokens);
    }
    const workers = Array.from({ length: 20 }, async (_, worker) => {
      for (let i = worker; i < requests; i += 20) {
        const side = sides[i % sides.length];
        expect((await side?.client.ask(`team/r${i % 7}`))?.outcome).toBe(200);
      }
    });
    await Promise.all(workers);
    let seen = 0;
    for (const { name, tokens, registry } of sides) {
      seen += registry.seen.length;
      expect(new Set(tokens.queries.map(({ basic }) => basic))).toEqual(new Set([`${name}:${canary}-${name}`]));
      // One token for each of the seven repositories, whoever asked.
      expect(tokens.queries).toHaveLength(7);
      for (const request of registry.seen) {
        const token = bearerOf(request);
        if (token === undefined) continue;
        expect(tokens.issued.get(token)?.scopes).toEqual([`repository:${repositoryOf(request)}:pull`]);
      }
    }
    expect(seen).toBeGreaterThanOrEqual(requests);
  });
});
