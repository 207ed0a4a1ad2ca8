import { connect } from 'node:net';
import { request as httpRequest } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { proxyChooser, type ProxyEnvironment } from '../../../src/upstream/network/proxy.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { tempDirectory, type TempDirectory } from '../../support/temp.ts';
import { type Signed, TestAuthority } from '../support/certificates.ts';
import { clientOf, failureOf, never, readAll, repo } from '../support/clients.ts';
import { noTls } from '../support/senders.ts';
import { serve, serveRaw, serveTls, type TestServer } from '../support/servers.ts';

const environmentOf = (noProxy: readonly string[]): ProxyEnvironment => ({
  http: new Secret('http://plain.proxy:3128'),
  https: new Secret('secure.proxy:3129'),
  noProxy,
});

describe('the choice of a proxy', () => {
  it('is by scheme, and a proxy needs no scheme of its own', () => {
    const choose = proxyChooser({ kind: 'environment' }, environmentOf([]));
    expect(choose(new URL('http://a.example'))?.url.href).toBe('http://plain.proxy:3128/');
    expect(choose(new URL('https://a.example'))?.url.href).toBe('http://secure.proxy:3129/');
  });

  it('an upstream may have its own, or none', () => {
    const url = new URL('https://a.example');
    const own = proxyChooser({ kind: 'url', url: new Secret('http://me:p%40ss@own.proxy') }, environmentOf(['*']));
    expect(own(url)?.url.href).toBe('http://own.proxy/');
    expect(own(url)?.authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`);
    expect(proxyChooser({ kind: 'direct' }, environmentOf([]))(url)).toBeUndefined();
  });

  it.each([
    ['*', 'https://a.example', false],
    ['a.example', 'https://a.example', false],
    ['a.example', 'https://b.a.example', false],
    ['a.example', 'https://ba.example', true],
    ['.a.example', 'https://b.a.example', false],
    ['.a.example', 'https://a.example', true],
    ['*.a.example', 'https://b.a.example', false],
    ['a.example:443', 'https://a.example', false],
    ['a.example:8443', 'https://a.example', true],
    ['10.0.0.0/8', 'http://10.1.2.3', false],
    ['10.0.0.0/8', 'http://11.1.2.3', true],
    ['10.0.0.0/99', 'http://10.1.2.3', true],
    ['10.1.2.3', 'http://10.1.2.3:5000', false],
    ['10.1.2.3:80', 'http://10.1.2.3:5000', true],
    ['fd00::/8', 'http://[fd00::1]', false],
    ['[fd00::1]', 'http://[fd00::1]', false],
    ['', 'https://a.example', true],
    ['.', 'https://a.example', true],
    ['none', 'http://localhost:5000', false],
    ['none', 'http://127.0.0.1:5000', false],
    ['none', 'http://[::1]:5000', false],
  ])('with NO_PROXY %s, %s goes through it: %s', (entry, url, isProxied) => {
    const choose = proxyChooser({ kind: 'environment' }, environmentOf([entry]));
    expect(choose(new URL(url)) !== undefined).toBe(isProxied);
  });

  it('an unusable proxy is an error at once, which does not repeat it', () => {
    for (const text of ['socks5://me:geheim@p', 'http://me:geheim@', 'geheim://x']) {
      const make = (): unknown => proxyChooser({ kind: 'url', url: new Secret(text) }, environmentOf([]));
      expect(make).toThrow(TypeError);
      expect(make).not.toThrow(/geheim/);
    }
  });
});

const content = 'hello world';
const question = { repository: repo('a/b'), digest: digestOf(content) };

let temp: TempDirectory;
let authority: TestAuthority;
let signed: Signed;
beforeAll(async () => {
  temp = await tempDirectory('proxy');
  authority = await TestAuthority.create(temp);
  signed = await authority.sign('server', ['DNS:registry.example', 'IP:127.0.0.1']);
});
afterAll(async () => temp[Symbol.asyncDispose]());

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

/** A proxy to which every host is `target`: both ways of proxying, with a record of the heads. */
async function proxyTo(target: TestServer, status = 200): Promise<TestServer & { readonly heads: string[] }> {
  const heads: string[] = [];
  const server = await serveRaw((socket, _, head) => {
    heads.push(head);
    if (!head.startsWith('CONNECT ')) {
      const [method = '', url = ''] = head.split(' ');
      const { pathname } = new URL(url);
      httpRequest({ host: '127.0.0.1', port: target.port, method, path: pathname, agent: false }, (response) => {
        socket.write(
          `HTTP/1.1 ${response.statusCode} x\r\nContent-Length: ${response.headers['content-length']}\r\n\r\n`,
        );
        response.pipe(socket, { end: false });
      }).end();
      return;
    }
    if (status !== 200) return void socket.end(`HTTP/1.1 ${status} no\r\nContent-Length: 0\r\n\r\n`);
    const onward = connect(target.port, '127.0.0.1', () => {
      socket.removeAllListeners('data');
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  });
  return Object.assign(server, { heads });
}

const through = (proxy: TestServer, user = ''): { kind: 'url'; url: Secret } => ({
  kind: 'url',
  url: new Secret(`http://${user}127.0.0.1:${proxy.port}`),
});

describe('a proxy', () => {
  it('carries https in a tunnel, with credentials for itself alone', async () => {
    await using server = await serveTls({ cert: signed.cert, key: signed.key }, (_, response) => response.end(content));
    await using proxy = await proxyTo(server);
    const tls = { ...noTls, caFile: authority.caFile };
    // The name does not exist: it is the proxy that looks it up.
    await using client = clientOf(new URL('https://registry.example'), { tls, proxy: through(proxy, 'me:pw@') });
    for (let i = 0; i < 2; i++) expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(proxy.heads).toHaveLength(1);
    expect(proxy.heads[0]).toMatch(/^CONNECT registry\.example:443 HTTP\/1\.1\r\n/);
    expect(proxy.heads[0]).toContain(`roxy-authorization: Basic ${Buffer.from('me:pw').toString('base64')}`);
    expect(server.seen[0]?.headers).toMatchObject({ host: 'registry.example' });
    expect(JSON.stringify(server.seen)).not.toContain('proxy');
  });

  it('carries plain http in absolute form', async () => {
    await using server = await serve((_, response) => response.end(content));
    await using proxy = await proxyTo(server);
    await using client = clientOf(new URL('http://registry.example'), { proxy: through(proxy, 'me:pw@') });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(proxy.heads[0]).toMatch(
      /^GET http:\/\/registry\.example\/v2\/a\/b\/blobs\/sha256:[0-9a-f]{64} HTTP\/1\.1\r\n/,
    );
    expect(proxy.heads[0]).toMatch(/\r\nhost: registry\.example\r\n/i);
    expect(proxy.heads[0]).toContain('proxy-authorization: Basic ');
  });

  it.each([
    [403, 'status 403'],
    [407, 'status 407'],
    [502, 'status 502'],
  ])('that answers %i to CONNECT makes the upstream unreachable', async (status, message) => {
    await using server = await serve((_, response) => response.end());
    await using proxy = await proxyTo(server, status);
    await using client = clientOf(new URL('https://registry.example'), { proxy: through(proxy) });
    const error = await failureOf(client.openBlob(question, never));
    expect(error.kind).toBe('unreachable');
    expect(error.message).toContain(message);
  });

  it('that speaks before the handshake is not trusted to be a tunnel', async () => {
    await using proxy = await serveRaw((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'));
    await using client = clientOf(new URL('https://registry.example'), { proxy: through(proxy) });
    const error = await failureOf(client.openBlob(question, never));
    expect(error).toMatchObject({ kind: 'unreachable', message: expect.stringContaining('before the TLS handshake') });
  });

  it('that is not there makes the upstream unreachable, one that says nothing a timeout', async () => {
    await using gone = await serveRaw((socket) => socket.destroy());
    await using client = clientOf(new URL('https://registry.example'), { proxy: through(gone) });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('unreachable');
    await using silent = await serveRaw(() => undefined);
    await using waiting = clientOf(new URL('https://registry.example'), {
      proxy: through(silent),
      transport: { tlsTimeoutMs: 80 },
    });
    expect((await failureOf(waiting.openBlob(question, never))).kind).toBe('timeout');
  });

  it('does not get addresses inside from a public upstream', async () => {
    await using server = await serve((_, response) => {
      response.writeHead(307, { Location: 'http://169.254.169.254/latest/meta-data/', 'Content-Length': 0 }).end();
    });
    await using proxy = await proxyTo(server);
    await using client = clientOf(new URL('http://registry.example'), { proxy: through(proxy) });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('redirectRefused');
    expect(proxy.heads).toHaveLength(1);
  });
});
