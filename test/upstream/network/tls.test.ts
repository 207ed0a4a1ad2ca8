import { readFile, writeFile } from 'node:fs/promises';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { tempDirectory, type TempDirectory } from '../../support/temp.ts';
import { type Signed, TestAuthority } from '../support/certificates.ts';
import { clientOf, failureOf, never, readAll, repo } from '../support/clients.ts';
import { noTls } from '../support/senders.ts';
import { serve, serveRaw, serveTls, type TestServer } from '../support/servers.ts';

const content = 'hello world';
const question = { repository: repo('a/b'), digest: digestOf(content) };

let temp: TempDirectory;
let authority: TestAuthority;
let other: TestAuthority;
let good: Signed;
let own: Signed;
beforeAll(async () => {
  temp = await tempDirectory('tls');
  authority = await TestAuthority.create(temp, 'ca');
  other = await TestAuthority.create(temp, 'other');
  good = await authority.sign('server', ['DNS:localhost', 'IP:127.0.0.1']);
  own = await authority.sign('client', []);
});
afterAll(async () => temp[Symbol.asyncDispose]());

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

const blob = (server: Signed = good, extra: object = {}): Promise<TestServer> =>
  serveTls({ cert: server.cert, key: server.key, ...extra }, (_, response) => response.end(content));

describe('TLS', () => {
  it('trusts a private CA beside those of the system, by name and by address', async () => {
    await using server = await blob();
    for (const host of ['localhost', '127.0.0.1']) {
      const url = new URL(`https://${host}:${server.port}`);
      await using client = clientOf(url, { tls: { ...noTls, caFile: authority.caFile } });
      expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    }
  });

  it.each([
    ['an unknown CA', /self-signed|unable to (verify|get)/i, 'https://127.0.0.1', () => good, undefined],
    ['another CA', /self-signed|unable to (verify|get)/i, 'https://127.0.0.1', () => good, () => other],
    ['another name', /altname|does not match/i, 'https://localhost', 'wrong', () => authority],
    ['an expired certificate', /expired/i, 'https://127.0.0.1', 'expired', () => authority],
  ] as const)('refuses %s, and says so', async (_, message, place, certificate, ca) => {
    const served =
      certificate === 'wrong'
        ? await authority.sign('wrong', ['DNS:elsewhere.example'])
        : certificate === 'expired'
          ? await authority.sign('expired', ['IP:127.0.0.1'], ['-days', '-1'])
          : certificate();
    await using server = await blob(served);
    const caFile = ca?.().caFile;
    await using client = clientOf(new URL(`${place}:${server.port}`), { tls: { ...noTls, caFile } });
    const error = await failureOf(client.openBlob(question, never));
    expect(error.kind).toBe('tls');
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('Node.js');
    expect(server.seen).toHaveLength(0);
  });

  it('insecureSkipVerify takes any certificate of the endpoint, but not of where it leads', async () => {
    await using storage = await blob(await other.sign('storage', ['IP:127.0.0.1']));
    await using server = await serveTls({ cert: good.cert, key: good.key }, (request, response) => {
      if (request.url?.includes('/blobs/') === false) response.end(content);
      else response.writeHead(307, { Location: `${storage.url.href}x` }).end();
    });
    const tls = { ...noTls, insecureSkipVerify: true };
    await using client = clientOf(server.url, { tls });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('tls');
    expect(server.seen).toHaveLength(1);
    expect(storage.seen).toHaveLength(0);
    await using trusting = clientOf(server.url, { tls, allowHosts: [`127.0.0.1:${storage.port}`] });
    expect(String(await readAll(await trusting.openBlob(question, never)))).toBe(content);
  });

  it('shows a client certificate to the endpoint, and to nobody it leads to', async () => {
    const seen: Record<string, string | undefined> = {};
    const asking = { cert: good.cert, key: good.key, requestCert: true, rejectUnauthorized: false };
    const note = (name: string, socket: unknown): void => {
      seen[name] = String((socket as TLSSocket).getPeerCertificate().subject?.CN);
    };
    await using storage = await serveTls(asking, (request, response) => {
      note('storage', request.socket);
      response.end(content);
    });
    await using server = await serveTls(asking, (request, response) => {
      note('registry', request.socket);
      response.writeHead(307, { Location: `${storage.url.href}x` }).end();
    });
    const tls = { ...noTls, caFile: authority.caFile, certFile: own.certFile, keyFile: own.keyFile };
    await using client = clientOf(server.url, { tls });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(seen).toEqual({ registry: 'client', storage: 'undefined' });
  });

  it('keeps trusting what the system trusts', async () => {
    await using server = await blob(await other.sign('system', ['IP:127.0.0.1']));
    const system = getCACertificates('default');
    setDefaultCACertificates([...system, await readFile(other.caFile, 'utf8')]);
    try {
      await using client = clientOf(server.url, { tls: { ...noTls, caFile: authority.caFile } });
      expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    } finally {
      setDefaultCACertificates(system);
    }
  });

  it('is not left for plain http, except where configuration names the place', async () => {
    await using storage = await serve((_, response) => response.end(content));
    await using server = await serveTls({ cert: good.cert, key: good.key }, (_, response) => {
      response.writeHead(307, { Location: `${storage.url.href}x` }).end();
    });
    const tls = { ...noTls, caFile: authority.caFile };
    await using client = clientOf(server.url, { tls });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('redirectRefused');
    expect(storage.connections).toBe(0);
    await using trusting = clientOf(server.url, { tls, allowHosts: ['127.0.0.1'] });
    expect(String(await readAll(await trusting.openBlob(question, never)))).toBe(content);
  });

  it('takes up rotated files', async () => {
    await using server = await blob();
    const clock = new FakeClock();
    const caFile = temp.file('rotating.crt');
    await writeFile(caFile, await readFile(other.caFile));
    await using client = clientOf(server.url, { clock, tls: { ...noTls, caFile } });
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('tls');
    await writeFile(caFile, await readFile(authority.caFile));
    // The same client, once its breaker lets a probe through.
    await clock.advance(10_000);
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
  });

  it('a file that is no PEM is a TLS failure; one that is missing is ours, and named in the cause alone', async () => {
    await using server = await blob();
    const caFile = temp.file('missing.crt');
    await using client = clientOf(server.url, { tls: { ...noTls, caFile } });
    const error = await failureOf(client.openBlob(question, never));
    expect(error.kind).toBe('exhausted');
    expect([error.message.includes('missing.crt'), String(error.cause).includes('missing.crt')]).toEqual([false, true]);
    await writeFile(caFile, 'not a certificate');
    await using broken = clientOf(server.url, { tls: { ...noTls, caFile, certFile: caFile, keyFile: caFile } });
    expect((await failureOf(broken.openBlob(question, never))).kind).toBe('tls');
  });

  it('a server that speaks no TLS is a TLS failure, one that says nothing a timeout', async () => {
    await using server = await serve((_, response) => response.end());
    await using client = clientOf(new URL(`https://127.0.0.1:${server.port}`));
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('tls');
    await using silent = await serveRaw(() => undefined);
    const url = new URL(`https://127.0.0.1:${silent.port}`);
    await using waiting = clientOf(url, { transport: { tlsTimeoutMs: 80 } });
    const error = await failureOf(waiting.openBlob(question, never));
    expect(error.kind).toBe('timeout');
    expect(error.message).toContain('TLS');
  });

  it('resumes its session on the next connection', async () => {
    const resumed: boolean[] = [];
    await using server = await serveTls({ cert: good.cert, key: good.key }, (request, response) => {
      resumed.push((request.socket as TLSSocket).isSessionReused());
      response.writeHead(200, { Connection: 'close' }).end(content);
    });
    await using client = clientOf(server.url, { tls: { ...noTls, caFile: authority.caFile } });
    for (let i = 0; i < 3; i++) await readAll(await client.openBlob(question, never));
    expect(resumed[0]).toBe(false);
    expect(resumed.slice(1)).toContain(true);
  });
});
