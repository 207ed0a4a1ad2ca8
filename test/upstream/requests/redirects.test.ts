/** Following redirects over real sockets, with servers at their ends that write down everything they are sent. */
import type { LookupAddress } from 'node:dns';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import type { AddressClass } from '../../../src/upstream/network/address-class.ts';
import {
  type Credential,
  credentialIdentity,
  type CredentialSource,
} from '../../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { TokenIssuer } from '../../support/upstream/auth.ts';
import { answer, redirect } from '../../support/upstream/behaviour.ts';
import { LocalLine } from '../support/local-line.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo } from '../support/clients.ts';
import { noTls } from '../support/senders.ts';
import { serve, serveRaw } from '../support/servers.ts';

const canary = 'c4n4ry-s3cret';
const content = 'hello world';
const digest = digestOf(content);
const question = { repository: repo('a/b'), digest };

const me: Credential = {
  kind: 'basic',
  name: 'test',
  identity: credentialIdentity('me'),
  username: 'me',
  password: new Secret(canary),
};

/** A source that would answer for every registry there is: what must not happen does not happen because of it. */
const generous: CredentialSource = {
  get: () => Promise.resolve(me),
  refused: () => undefined,
  mayAnswer: () => true,
  isAt: (place) => place === 'basic me',
};

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

async function registry(options: Parameters<typeof ScriptedUpstream.start>[0] = {}): Promise<ScriptedUpstream> {
  const upstream = await ScriptedUpstream.start(options);
  upstream.content.addBlob('a/b', content);
  return upstream;
}

const privateRegistry = (): Promise<ScriptedUpstream> => registry({ auth: { kind: 'basic', users: { me: canary } } });

describe('redirects', () => {
  it.each([301, 302, 303, 307, 308])('%i to storage is followed without authorization', async (status) => {
    await using upstream = await privateRegistry();
    await using storage = await ScriptedUpstream.start({ content: upstream.content });
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}?X-Sig=1`, status));
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(storage.requests).toHaveLength(1);
    expect(Object.keys(storage.requests[0]?.headers ?? {}).toSorted()).toEqual([
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ]);
  });

  it.each([
    ['a quote, and dots that are encoded', "/cdn/o'k/%2e%2e/x?sig='%2E"],
    ['a bar', '/cdn/a|b?c|d'],
    ['UTF-8 as it is', `/cdn/${Buffer.from('ä').toString('latin1')}?${Buffer.from('ü').toString('latin1')}`],
  ])('are asked for as they were written: %s', async (_, target) => {
    await using upstream = await registry();
    await using storage = await serveRaw((socket) => {
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n${content}`);
    });
    upstream.on({ kind: 'blob' }, redirect(`${storage.url.origin}${target}`));
    await using client = clientOf(new URL(upstream.url));
    const worker = new LocalLine();
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(String(await readAll(await client.openBlob({ ...question, worker }, never)))).toBe(content);
    expect(storage.seen.map(({ url }) => url)).toEqual([target, target]);
    await worker.close();
  });

  it('to another repository of the same registry carry no credential there', async () => {
    await using upstream = await privateRegistry();
    upstream.content.addBlob('victim/secret', content);
    upstream.on({ kind: 'blob', repository: 'a/b' }, redirect(`/v2/victim/secret/blobs/${digest}`));
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('denied');
    const there = upstream.requests.filter(({ repository }) => repository === 'victim/secret');
    expect(there.length).toBeGreaterThan(0);
    expect(there.filter(({ headers }) => headers['authorization'] !== undefined)).toEqual([]);
    // The first one was asked with it.
    expect(upstream.requests.some(({ headers }) => headers['authorization'] !== undefined)).toBe(true);
  });

  it('keeps the range and the method', async () => {
    await using upstream = await registry();
    await using storage = await ScriptedUpstream.start({ content: upstream.content });
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}`));
    await using client = clientOf(new URL(upstream.url));
    const part = await client.openBlob({ ...question, range: { kind: 'closed', start: 2, end: 5 } }, never);
    expect(String(await readAll(part))).toBe('llo');
    expect(await client.statBlob(question.repository, digest, never)).toEqual({ sizeBytes: content.length });
    expect(storage.requests.map(({ method, headers }) => [method, headers['range']])).toEqual([
      ['GET', 'bytes=2-4'],
      ['HEAD', undefined],
    ]);
  });

  it('stays who we are on the same origin (Artifact Registry sends a relative Location)', async () => {
    await using upstream = await ScriptedUpstream.start({ auth: { kind: 'basic', users: { me: canary } } });
    upstream.on({ kind: 'blob' }, redirect('/artifacts-downloads/namespaces/p/x', 302));
    upstream.on({ kind: 'other' }, { status: 200, body: content });
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    const last = upstream.requests.at(-1);
    expect(last).toMatchObject({ target: '/artifacts-downloads/namespaces/p/x' });
    expect(last?.headers['authorization']).toMatch(/^Basic /);
  });

  it.each([
    ['another port', (port: number) => `http://127.0.0.1:${port}/x`],
    ['another name', (port: number) => `http://localhost:${port}/x`],
    ['another registry', (port: number) => `http://127.0.0.1:${port}/v2/a/b/blobs/${digest}`],
    ['another registry with another repository', (port: number) => `http://127.0.0.1:${port}/v2/c/d/blobs/${digest}`],
  ])('%s sees no secret, whatever it asks for', async (_, place) => {
    await using upstream = await privateRegistry();
    await using thief = await serve((_request, response) => {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="please"' }).end();
    });
    upstream.on({ kind: 'blob' }, redirect(place(thief.port)));
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    await failureOf(client.openBlob(question, never));
    expect(thief.seen.length).toBeGreaterThan(0);
    const text = JSON.stringify(thief.seen);
    expect(text).not.toContain(canary);
    expect(text).not.toContain(Buffer.from(`me:${canary}`).toString('base64'));
    expect(thief.seen.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('back at the registry we are who we were', async () => {
    await using upstream = await privateRegistry();
    await using detour = await serve((_, response) => {
      response.writeHead(307, { Location: `${upstream.url}/v2/a/b/blobs/${digest}?second` }).end();
    });
    upstream.on({ kind: 'blob' }, { times: 1 }, redirect(`${detour.url.href}x`));
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(detour.seen[0]?.headers).not.toHaveProperty('authorization');
  });

  it('another registry gets an authentication of its own, as nobody (registry.k8s.io, lscr.io)', async () => {
    await using target = await ScriptedUpstream.start({ auth: { kind: 'bearer', issuer: new TokenIssuer() } });
    target.content.addManifest('k8s/pause', '{"schemaVersion":2}', 'application/vnd.oci.image.manifest.v1+json');
    const manifest = digestOf('{"schemaVersion":2}');
    await using upstream = await registry();
    upstream.on({ kind: 'manifest' }, redirect(`${target.url}/v2/k8s/pause/manifests/${manifest}`));
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    const { bytes } = await client.getManifest(repo('pause'), ref('3.9'), never);
    expect(String(Buffer.from(bytes))).toBe('{"schemaVersion":2}');
    const token = target.matching({ kind: 'token' });
    expect(token).toHaveLength(1);
    expect(token[0]?.query.get('scope')).toBe('repository:k8s/pause:pull');
    expect(token[0]?.headers).not.toHaveProperty('authorization');
    expect(JSON.stringify(target.requests.map(({ headers }) => headers))).not.toContain('Basic');
    expect(target.matching({ kind: 'manifest' }).at(-1)?.headers['accept']).toContain('image.index');
  });

  it('a private repository elsewhere is not read with our name on behalf of whoever redirects there', async () => {
    // Over https, where the source of credentials would be asked.
    await using secret = await registry({ tls: true, auth: { kind: 'basic', users: { me: canary } } });
    await using upstream = await registry();
    upstream.on({ kind: 'blob' }, redirect(`${secret.url}/v2/a/b/blobs/${digest}`));
    await using client = clientOf(new URL(upstream.url), {
      credentials: generous,
      allowHosts: [secret.host],
      tls: { ...noTls, insecureSkipVerify: true },
    });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('denied');
    expect(secret.requests.length).toBeGreaterThan(0);
    expect(secret.requests.every(({ headers }) => headers['authorization'] === undefined)).toBe(true);
  });

  it('a sibling endpoint knows us, as long as the repository is the one that was asked for', async () => {
    await using mirror = await registry();
    await using origin = await privateRegistry();
    origin.content.addBlob('c/d', content);
    await using client = clientOf([new URL(mirror.url), new URL(origin.url)], { credentials: generous });
    mirror.on({ kind: 'blob' }, redirect(`${origin.url}/v2/a/b/blobs/${digest}`));
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    origin.forgetRequests();
    mirror.on({ kind: 'blob' }, redirect(`${origin.url}/v2/c/d/blobs/${digest}`));
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('denied');
    expect(origin.requests.length).toBeGreaterThan(0);
    expect(origin.requests.every(({ headers }) => headers['authorization'] === undefined)).toBe(true);
  });

  it('a loop, eleven hops and a missing Location are refused', async () => {
    const recorded = recorder();
    await using upstream = await registry();
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    upstream.on(
      { kind: 'blob' },
      redirect(({ target }) => target),
    );
    expect((await failureOf(client.openBlob(question, never))).message).toContain('loop');
    upstream.clearRules();
    upstream.on(
      { kind: 'blob' },
      redirect(({ path, query }) => `${path}?n=${Number(query.get('n')) + 1}`),
    );
    upstream.forgetRequests();
    expect((await failureOf(client.openBlob(question, never))).message).toContain('more than 10');
    expect(upstream.requests).toHaveLength(11);
    upstream.clearRules();
    upstream.on({ kind: 'blob' }, answer(302));
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('redirectRefused');
    expect(recorded.rejected).toEqual(['redirectRefused', 'redirectRefused', 'redirectRefused']);
    expect(recorded.breaker).toEqual([]);
  });

  it('a signed URL that has expired is signed once more by the registry, and only once', async () => {
    await using upstream = await registry();
    await using storage = await ScriptedUpstream.start({ content: upstream.content });
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}`));
    storage.on({ kind: 'cdn' }, { times: 1 }, answer(403));
    await using client = clientOf(new URL(upstream.url));
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect([upstream.requests.length, storage.requests.length]).toEqual([2, 2]);
    storage.on({ kind: 'cdn' }, answer(403));
    const error = await failureOf(client.openBlob(question, never));
    // Not `denied`: storage knows nothing about who may read a repository.
    expect(error).toMatchObject({ kind: 'badResponse', status: 403 });
    expect([upstream.requests.length, storage.requests.length]).toEqual([4, 4]);
  });

  it.each([400, 401, 403, 404, 503])(
    'one that fails with %i is signed once more before that counts',
    async (status) => {
      await using upstream = await registry();
      await using storage = await ScriptedUpstream.start({ content: upstream.content });
      let signed = 0;
      upstream.on(
        { kind: 'blob' },
        redirect(() => `${storage.url}/cdn/${digest}?sig=${++signed}`),
      );
      storage.on({ where: ({ query }) => query.get('sig') === '1' }, answer(status));
      await using client = clientOf(new URL(upstream.url));
      expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
      expect([signed, storage.requests.length]).toEqual([2, 2]);
    },
  );

  it.each([400, 403, 404, 503])('one below /v2/ of a CDN that fails with %i, too', async (status) => {
    await using upstream = await privateRegistry();
    await using cdn = await registry();
    let signed = 0;
    upstream.on(
      { kind: 'blob' },
      redirect(() => `${cdn.url}/v2/a/b/blobs/${digest}?sig=${++signed}`),
    );
    cdn.on({ where: ({ query }) => query.get('sig') === '1' }, answer(status));
    await using client = clientOf(new URL(upstream.url), { credentials: generous });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect([signed, cdn.requests.length]).toEqual([2, 2]);
  });

  it('what another registry says without a signature counts at once', async () => {
    await using upstream = await registry();
    await using other = await ScriptedUpstream.start();
    upstream.on({ kind: 'blob' }, redirect(`${other.url}/v2/a/b/blobs/${digest}`));
    await using client = clientOf(new URL(upstream.url));
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('notFound');
    expect([upstream.requests.length, other.requests.length]).toEqual([1, 1]);
  });

  it('storage that is down is left alone, and the registry is not', async () => {
    const recorded = recorder();
    await using upstream = await registry();
    await using storage = await ScriptedUpstream.start({ content: upstream.content });
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}`));
    await storage.stop();
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('unreachable');
    // What lies there is refused without a dial, and the registry is asked as before.
    for (let i = 0; i < 4; i++) expect((await failureOf(client.openBlob(question, never))).kind).toBe('breakerOpen');
    expect(upstream.requests).toHaveLength(5);
    expect(recorded.requests.filter(({ status }) => status === 'error')).toHaveLength(1);
    expect(recorded.breaker).toEqual([]);
  });

  it('messages name the place of a signed URL and never its query', async () => {
    await using upstream = await registry();
    await using storage = await ScriptedUpstream.start();
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}?X-Amz-Signature=${canary}`));
    await using client = clientOf(new URL(upstream.url));
    const error = await failureOf(client.openBlob(question, never));
    expect(error.message).toContain('/cdn/');
    expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toContain(canary);
  });

  describe('of a public upstream', () => {
    /** On this machine 127.0.0.1 plays the internet, and 127.0.0.2 what is private. */
    const classifyAddress = (address: string): 'public' | 'private' => (address === '127.0.0.1' ? 'public' : 'private');
    const names: Record<string, string[]> = { 'inside.example': ['127.0.0.2'], 'outside.example': ['127.0.0.1'] };
    const looked: string[] = [];
    const lookup = ((name: string, _: object, done: (error: null, found: LookupAddress[]) => void) => {
      looked.push(name);
      done(
        null,
        (names[name] ?? ['127.0.0.1']).map((address) => ({ address, family: 4 })),
      );
    }) as never;
    const transport = { classifyAddress, lookup };

    it.each([
      ['an address', (port: number) => `http://127.0.0.2:${port}/x`],
      ['an address in another notation', (port: number) => `http://0x7f000002:${port}/x`],
      ['an IPv4-mapped address', (port: number) => `http://[::ffff:127.0.0.2]:${port}/x`],
      ['a name', (port: number) => `http://inside.example:${port}/x`],
      ['another registry', (port: number) => `http://inside.example:${port}/v2/a/b/blobs/${digest}`],
    ])('to %s inside are refused before a connection is made', async (_, place) => {
      const recorded = recorder();
      await using upstream = await registry();
      await using inside = await serve((_request, response) => response.end('secret'), '127.0.0.2');
      upstream.on({ kind: 'blob' }, redirect(place(inside.port)));
      await using client = clientOf(new URL(upstream.url), { transport, events: recorded.events });
      expect((await failureOf(client.openBlob(question, never))).kind).toBe('redirectRefused');
      expect(inside.connections).toBe(0);
      expect(recorded.rejected).toEqual(['redirectRefused']);
    });

    it('to a name that is public first and private afterwards are refused the second time', async () => {
      await using upstream = await registry();
      await using storage = await ScriptedUpstream.start({ content: upstream.content });
      await using inside = await serve((_request, response) => response.end('secret'), '127.0.0.2');
      upstream.on({ kind: 'blob' }, { times: 1 }, redirect(`http://outside.example:${storage.port}/cdn/${digest}`));
      await using client = clientOf(new URL(upstream.url), { transport });
      expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
      upstream.on({ kind: 'blob' }, redirect(`http://outside.example:${inside.port}/cdn/${digest}`));
      names['outside.example'] = ['127.0.0.2'];
      expect((await failureOf(client.openBlob(question, never))).kind).toBe('redirectRefused');
      expect(inside.connections).toBe(0);
      expect(looked).toContain('outside.example');
    });

    it('to an address that is private after all once it is connected get no request', async () => {
      // As if the kernel had led us somewhere else than where the look-up said.
      const answers = ['public', 'private'] as const;
      let asked = 0;
      const fickle = (address: string): 'public' | 'private' =>
        address === '127.0.0.2' ? (answers[asked++] ?? 'private') : 'public';
      await using upstream = await registry();
      await using inside = await serve((_request, response) => response.end('secret'), '127.0.0.2');
      upstream.on({ kind: 'blob' }, redirect(`http://inside.example:${inside.port}/x`));
      await using client = clientOf(new URL(upstream.url), { transport: { lookup, classifyAddress: fickle } });
      expect((await failureOf(client.openBlob(question, never))).kind).toBe('redirectRefused');
      expect([inside.connections, inside.seen.length, asked]).toEqual([1, 0, 2]);
    });

    it('are followed inside where allowHosts names the host', async () => {
      await using upstream = await registry();
      await using inside = await serve((_request, response) => response.end(content), '127.0.0.2');
      upstream.on({ kind: 'blob' }, redirect(`http://inside.example:${inside.port}/x`));
      const allowHosts = [`inside.example:${inside.port}`];
      await using client = clientOf(new URL(upstream.url), { transport, allowHosts });
      expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    });

    it('are followed inside where the upstream itself is inside', async () => {
      await using inside = await serve((_request, response) => response.end(content), '127.0.0.2');
      await using upstream = await serve((_request, response) => {
        response.writeHead(307, { Location: `http://127.0.0.2:${inside.port}/x` }).end();
      }, '127.0.0.3');
      await using client = clientOf(upstream.url, { transport });
      expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    });
  });

  describe('of a private upstream', () => {
    const names: Record<string, string> = { 'metadata.example': '127.0.0.2' };
    const lookup = ((name: string, _: object, done: (error: null, found: LookupAddress[]) => void) =>
      done(null, [{ address: names[name] ?? '127.0.0.1', family: 4 }])) as never;

    describe.each(['loopback', 'linkLocal'] as const)('to what is %s', (kind) => {
      // On this machine 127.0.0.1 plays the private network.
      const transport = {
        classifyAddress: (address: string): AddressClass => (address.endsWith('127.0.0.1') ? 'private' : kind),
        lookup,
      };

      it.each([
        ['an address', (port: number) => `http://127.0.0.2:${port}/latest/meta-data/iam/security-credentials/role`],
        ['an address in another notation', (port: number) => `http://0x7f000002:${port}/x`],
        ['an IPv4-mapped address', (port: number) => `http://[::ffff:127.0.0.2]:${port}/x`],
        ['a name', (port: number) => `http://metadata.example:${port}/x`],
        ['another registry', (port: number) => `http://metadata.example:${port}/v2/a/b/blobs/${digest}`],
      ])('by %s: no way of dialling goes there', async (_, place) => {
        await using upstream = await registry();
        await using inside = await serve((_request, response) => response.end('secret'), '127.0.0.2');
        upstream.on({ kind: 'blob' }, redirect(place(inside.port)));
        upstream.on({ kind: 'manifest' }, redirect(place(inside.port)));
        await using client = clientOf(new URL(upstream.url), { transport });
        const worker = new LocalLine();
        for (const ask of [
          () => client.openBlob(question, never),
          () => client.openBlob({ ...question, worker }, never),
          () => client.getManifest(question.repository, ref('latest'), never),
          () => client.headManifest(question.repository, ref('latest'), never),
        ]) {
          expect((await failureOf(ask())).kind).toBe('redirectRefused');
        }
        expect(inside.connections).toBe(0);
        await worker.close();
      });

      it('by the realm of a challenge: no token is asked for there', async () => {
        await using inside = await serve((_request, response) => response.end('{"token":"x"}'), '127.0.0.2');
        await using upstream = await serve((_request, response) => {
          response.writeHead(401, { 'www-authenticate': `Bearer realm="${inside.url.href}token"` }).end();
        });
        await using client = clientOf(upstream.url, { transport });
        const error = await failureOf(client.getManifest(question.repository, ref('latest'), never));
        expect(error.kind).toBe('redirectRefused');
        expect(inside.connections).toBe(0);
      });

      it('by allowHosts: what the operator lists is followed', async () => {
        await using upstream = await registry();
        await using inside = await serve((_request, response) => response.end(content), '127.0.0.2');
        upstream.on({ kind: 'blob' }, redirect(`http://metadata.example:${inside.port}/x`));
        await using client = clientOf(new URL(upstream.url), { transport, allowHosts: ['metadata.example'] });
        expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
      });
    });
  });
});
