import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { randomBytesOf, randomSource, sourceOf } from './byte-source.ts';
import { buildArtifact, buildImage, buildIndex } from './image-builder.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from './leaks.ts';
import { NoResponseError, RawConnection, rawFetch } from './raw-client.ts';
import { ScriptedUpstream } from './scripted-upstream.ts';
import { TokenIssuer } from './upstream/auth.ts';
import * as script from './upstream/behaviour.ts';
import { RateLimit } from './upstream/rate-limit.ts';

const { cut, delay, hold, range, stall } = script;
const blob = randomBytesOf(200_000, 'blob');

let before: ResourceSnapshot;
let upstream: ScriptedUpstream;
let digest: string;
let blobUrl: string;
beforeEach(async () => {
  before = takeSnapshot();
  upstream = await ScriptedUpstream.start();
  digest = upstream.content.addBlob('a/b', blob);
  blobUrl = `${upstream.url}/v2/a/b/blobs/${digest}`;
});
afterEach(async () => {
  await upstream[Symbol.asyncDispose]();
  await expectNoLeaks(before);
});

describe('a scripted upstream without a script is a registry', () => {
  it('serves an image by tag and digest, GET and HEAD', async () => {
    const image = buildImage({ seed: 1 });
    upstream.content.add('a/b', image, 'latest', 'v1');
    expect((await rawFetch(`${upstream.url}/v2/`)).status).toBe(200);
    for (const reference of ['latest', image.digest]) {
      const url = `${upstream.url}/v2/a/b/manifests/${reference}`;
      const got = await rawFetch(url);
      expect(got).toMatchObject({ status: 200, cleanEnd: true, reset: false, sha256: image.digest });
      expect(got.headers).toMatchObject({ 'content-type': image.mediaType, 'docker-content-digest': image.digest });
      const head = await rawFetch(url, { method: 'HEAD' });
      expect(head).toMatchObject({ status: 200, bytes: 0, headers: { 'content-length': String(image.bytes.length) } });
      const same = await rawFetch(url, { headers: { 'If-None-Match': `"${image.digest}"` } });
      expect(same).toMatchObject({ status: 304, bytes: 0, cleanEnd: true });
    }
    for (const { digest: layer, bytes } of image.blobs) {
      expect(await rawFetch(`${upstream.url}/v2/a/b/blobs/${layer}`)).toMatchObject({
        sha256: layer,
        bytes: bytes.length,
      });
    }
    expect(upstream.count({ kind: 'manifest', method: 'HEAD' })).toBe(2);
    expect(upstream.bytesSent({ kind: 'blob' })).toBe(image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0));
    expect(upstream.requests.every(({ isComplete, isAbandoned }) => isComplete && !isAbandoned)).toBe(true);
  });

  it('knows what it does not have', async () => {
    for (const [path, status, code] of [
      ['/v2/none/manifests/x', 404, 'NAME_UNKNOWN'],
      ['/v2/a/b/manifests/x', 404, 'MANIFEST_UNKNOWN'],
      [`/v2/a/b/blobs/sha256:${'0'.repeat(64)}`, 404, 'BLOB_UNKNOWN'],
      ['/elsewhere', 404, 'UNSUPPORTED'],
    ] as const) {
      const got = await rawFetch(upstream.url + path);
      expect(got.status).toBe(status);
      expect(got.body.toString()).toContain(code);
    }
  });

  it('answers ranges', async () => {
    const ask = (header: string) => rawFetch(blobUrl, { headers: { Range: header } });
    for (const [header, start, end] of [
      ['bytes=5-9', 5, 10],
      ['bytes=199990-', 199_990, 200_000],
      ['bytes=-3', 199_997, 200_000],
      ['bytes=0-999999', 0, 200_000],
    ] as const) {
      const got = await ask(header);
      expect(got.status).toBe(206);
      expect(got.headers['content-range']).toBe(`bytes ${start}-${end - 1}/200000`);
      expect(got.body).toEqual(blob.subarray(start, end));
      expect(upstream.requests.at(-1)?.span).toEqual({ start, end });
    }
    expect(await ask('bytes=200000-')).toMatchObject({ status: 416, headers: { 'content-range': 'bytes */200000' } });
    const multi = await ask('bytes=0-1,10-11');
    expect(multi.headers['content-type']).toBe('multipart/byteranges; boundary=sep');
    expect(multi.body.toString('latin1').match(/Content-Range: bytes \S+/g)).toHaveLength(2);
  });

  it('lists tags in pages, and referrers', async () => {
    const image = buildImage({ seed: 2 });
    const signature = buildArtifact({ subject: image, artifactType: 'application/vnd.sig', annotations: { k: 'v' } });
    upstream.content.add('a/b', buildIndex([image]), 'a', 'b', 'c');
    upstream.content.add('a/b', signature);
    const first = await rawFetch(`${upstream.url}/v2/a/b/tags/list?n=2`);
    expect(JSON.parse(first.body.toString())).toEqual({ name: 'a/b', tags: ['a', 'b'] });
    expect(first.headers['link']).toBe('</v2/a/b/tags/list?n=2&last=b>; rel="next"');
    const second = await rawFetch(`${upstream.url}/v2/a/b/tags/list?n=2&last=b`);
    expect(JSON.parse(second.body.toString())).toEqual({ name: 'a/b', tags: ['c'] });
    expect(second.headers['link']).toBeUndefined();
    const url = `${upstream.url}/v2/a/b/referrers/${image.digest}`;
    const found = await rawFetch(`${url}?artifactType=application/vnd.sig`);
    expect(found.headers['oci-filters-applied']).toBe('artifactType');
    expect(JSON.parse(found.body.toString())).toMatchObject({
      manifests: [{ digest: signature.digest, artifactType: 'application/vnd.sig', annotations: { k: 'v' } }],
    });
    expect(JSON.parse((await rawFetch(`${url}?artifactType=x`)).body.toString())).toMatchObject({ manifests: [] });
    upstream.hasReferrersApi = false;
    expect((await rawFetch(url)).status).toBe(404);
  });

  it('serves several requests on one connection, pipelined too, and over TLS', async () => {
    await using tls = await ScriptedUpstream.start({ tls: true, content: upstream.content });
    for (const server of [upstream, tls]) {
      using connection = await RawConnection.open(server.url);
      connection.send(`/v2/a/b/blobs/${digest}`);
      connection.send('/v2/');
      const first = await connection.head();
      expect((await connection.body(first)).sha256).toBe(digest);
      expect((await connection.head()).status).toBe(200);
      expect([server.count(), server.connections]).toEqual([2, 1]);
    }
    tls.on({}, cut('headers', 'rst'));
    await expect(rawFetch(`${tls.url}/v2/`)).rejects.toMatchObject({ name: 'NoResponseError', reset: true });
  });
});

describe('a scripted upstream misbehaves as told', () => {
  it.each(['length', 'chunked', 'close', 'close-1.0'] as const)(
    'ends a whole and a cut body with framing %s',
    async (how) => {
      upstream.always = script.framing(how);
      expect(await rawFetch(blobUrl)).toMatchObject({ cleanEnd: true, reset: false, sha256: digest });
      for (const at of [0, 1, 100_000, -1]) {
        const bytes = at < 0 ? blob.length + at : at;
        upstream.on({ kind: 'blob' }, { times: 1 }, cut(at));
        // Without length or chunks, an orderly close cannot be told from the end: that is the defect to be scripted.
        expect(await rawFetch(blobUrl)).toMatchObject({ cleanEnd: how.startsWith('close'), reset: false, bytes });
        upstream.on({ kind: 'blob' }, { times: 1 }, cut(at, 'rst'));
        const got = await rawFetch(blobUrl).catch((error: unknown) => error);
        expect(got).toSatisfy(
          (value) => value instanceof NoResponseError || (value as { cleanEnd: boolean }).cleanEnd === false,
        );
        expect(upstream.requests.at(-1)).toMatchObject({ bodyBytes: bytes, isComplete: false, isAbandoned: false });
      }
    },
  );

  it('cuts a chunked body after its last byte and before its end', async () => {
    upstream.on({ kind: 'blob' }, script.framing('chunked'), cut('body-end'));
    expect(await rawFetch(blobUrl)).toMatchObject({ cleanEnd: false, bytes: blob.length });
  });

  it.each(['before', 'status', 'headers'] as const)('cuts at the place "%s"', async (at) => {
    upstream.on({}, cut(at));
    await expect(rawFetch(blobUrl)).rejects.toBeInstanceOf(NoResponseError);
  });

  it('holds an answer at a place until the gate opens', async () => {
    const gate = upstream.gate('middle');
    upstream.on({ kind: 'blob' }, hold(1000, gate));
    let seen = 0;
    const fetching = rawFetch(blobUrl, { onBytes: (total) => (seen = total) });
    await gate.arrived();
    const [request] = await upstream.received({ kind: 'blob' });
    expect(request).toMatchObject({ bodyBytes: 1000, isComplete: false });
    expect(seen).toBeLessThanOrEqual(1000);
    gate.open();
    expect(await fetching).toMatchObject({ cleanEnd: true, sha256: digest });
    expect(seen).toBe(blob.length);
  });

  it('stalls until the client leaves, and notices it', async () => {
    upstream.on({ kind: 'blob' }, stall(500));
    for (const how of ['fin', 'rst'] as const) {
      const got = await rawFetch(blobUrl, { leave: { at: 500, how } });
      expect(got).toMatchObject({ bytes: 500, cleanEnd: false });
    }
    await upstream.received({ where: ({ isAbandoned }) => isAbandoned }, 2);
    expect(upstream.openConnections).toBe(0);
  });

  it('sends wrong bytes of the right length, in parts and as a whole', async () => {
    upstream.on({ kind: 'blob' }, script.flip(-1));
    const whole = await rawFetch(blobUrl);
    expect(whole).toMatchObject({ bytes: blob.length, cleanEnd: true });
    expect([...whole.body.keys()].filter((i) => whole.body[i] !== blob[i])).toEqual([blob.length - 1]);
    const end = await rawFetch(blobUrl, { headers: { Range: 'bytes=-1' } });
    expect(end.body[0]).toBe((blob.at(-1) ?? 0) ^ 1);
    const start = await rawFetch(blobUrl, { headers: { Range: 'bytes=0-9' } });
    expect(start.body).toEqual(blob.subarray(0, 10));
  });

  it.each([
    ['the other length', script.declare(5), { headers: { 'content-length': '5' } }],
    ['HTML', script.html(), { status: 200, headers: { 'content-type': 'text/html' } }],
    ['nothing', script.body(''), { status: 200, bytes: 0, headers: { 'content-length': '0' } }],
    [
      'an error',
      script.answer(429, { headers: { 'Retry-After': '7' } }),
      { status: 429, headers: { 'retry-after': '7' } },
    ],
    ['a document', script.json({ a: 1 }), { status: 200, bytes: 7 }],
    ['no header', script.headers({ 'Docker-Content-Digest': undefined, X: ['1', '2'] }), { headers: { x: '1, 2' } }],
    ['a longer body', script.damage((bytes) => Buffer.concat([bytes, bytes])), { bytes: 400_000, cleanEnd: true }],
    [
      'a short body',
      [script.damage(() => Buffer.from('x')), script.declare(2), script.last('silent')],
      { bytes: 1, cleanEnd: false },
    ],
    ['a farewell', script.last(), { headers: { connection: 'close' } }],
    ['raw bytes', script.raw('HTTP/1.1 299 Odd\r\n\r\nx'), { status: 299, bytes: 1 }],
    ['a redirect', script.redirect(({ reference }) => `/cdn/${reference}`), { status: 307 }],
  ])('sends %s', async (_, behaviour, expected) => {
    upstream.on({ kind: 'blob' }, ...[behaviour].flat());
    const got = await rawFetch(blobUrl);
    expect(got).toMatchObject(expected);
    if (got.status === 200 && 'x' in got.headers) expect('docker-content-digest' in got.headers).toBe(false);
    if (got.status === 307) expect(got.headers['location']).toBe(`/cdn/${digest}`);
  });

  it('says more than it was asked', async () => {
    upstream.on({ kind: 'ping' }, script.trailing('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!'));
    using connection = await RawConnection.open(upstream.url);
    connection.send('/v2/');
    expect((await connection.body(await connection.head())).body.toString()).toBe('{}');
    expect((await connection.body(await connection.head())).body.toString()).toBe('!');
  });

  it('compresses', async () => {
    upstream.on({ kind: 'blob' }, script.encode('gzip'));
    const got = await rawFetch(blobUrl);
    expect(got.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(got.body)).toEqual(blob);
  });

  it.each([
    ['ignore', 200, undefined],
    [416, 416, 'bytes */200000'],
    [501, 501, undefined],
    [{ shift: 7 }, 206, 'bytes 17-26/200000'],
    [{ total: 9 }, 206, 'bytes 10-19/9'],
    [{ total: '*' }, 206, 'bytes 10-19/*'],
  ] as const)('answers a range with %j', async (how, status, contentRange) => {
    upstream.on({ kind: 'blob', ranged: true }, range(how));
    const got = await rawFetch(blobUrl, { headers: { Range: 'bytes=10-19' } });
    expect([got.status, got.headers['content-range']]).toEqual([status, contentRange]);
    expect((await rawFetch(blobUrl)).status).toBe(200);
  });

  it('applies the newest rule, as often as told, and none after it is removed', async () => {
    const all = upstream.on({ kind: 'blob' }, script.answer(500));
    const once = upstream.on({ kind: 'blob' }, { times: 1, skip: 1 }, script.answer(503));
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await rawFetch(blobUrl)).status);
    expect(statuses).toEqual([500, 503, 500]);
    expect([all.hits, once.hits]).toEqual([2, 1]);
    all.remove();
    expect((await rawFetch(blobUrl)).status).toBe(200);
  });

  it('keeps to a rate, each for itself or together', async () => {
    const time = async (work: () => Promise<unknown>): Promise<number> => {
      const start = performance.now();
      await work();
      return performance.now() - start;
    };
    upstream.on({ kind: 'blob' }, script.rate(1_000_000));
    expect(await time(() => rawFetch(blobUrl))).toBeGreaterThan(150);
    upstream.on({ kind: 'blob' }, script.shared(new RateLimit(1_000_000)));
    const both = await time(() => Promise.all([rawFetch(blobUrl), rawFetch(blobUrl)]));
    expect(both).toBeGreaterThan(320);
    upstream.on({ kind: 'blob' }, delay(100));
    expect(await time(() => rawFetch(blobUrl))).toBeGreaterThan(90);
    upstream.on({ kind: 'blob' }, script.drip(20));
    expect(await time(() => rawFetch(blobUrl, { headers: { Range: 'bytes=0-5' } }))).toBeGreaterThan(80);
  });

  it('hangs, resets or closes what it accepts', async () => {
    upstream.accept = 'hang';
    await expect(rawFetch(blobUrl, { timeoutMs: 100 })).rejects.toThrow('not within 100 ms');
    upstream.accept = 'close';
    await expect(rawFetch(blobUrl)).rejects.toMatchObject({ reset: false });
    upstream.accept = 'reset';
    await expect(rawFetch(blobUrl)).rejects.toThrow();
    expect(upstream.count()).toBe(0);
  });

  it('goes away and comes back on the same port', async () => {
    const { port } = upstream;
    await upstream.stop();
    await expect(rawFetch(blobUrl)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await upstream.listen();
    expect(upstream.port).toBe(port);
    expect((await rawFetch(blobUrl)).sha256).toBe(digest);
  });
});

describe('a scripted upstream asks who is there', () => {
  const basic = (user: string, password: string) => ({
    Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
  });

  it('by Basic', async () => {
    upstream.auth = { kind: 'basic', users: { me: 'se:cret' } };
    const refused = await rawFetch(blobUrl, { headers: basic('me', 'wrong') });
    expect(refused).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Basic realm="scripted"' } });
    expect((await rawFetch(blobUrl, { headers: basic('me', 'se:cret') })).status).toBe(200);
  });

  it('by Bearer, with a token server on another port', async () => {
    const issuer = new TokenIssuer({ users: { me: 'secret' }, privateRepositories: ['a/b'], expiresInSeconds: 300 });
    await using tokens = await ScriptedUpstream.start({ tokens: issuer });
    upstream.auth = { kind: 'bearer', issuer, realm: `${tokens.url}/token`, service: 'registry' };
    const rule = upstream.on({ kind: 'blob' }, { times: 1 }, script.answer(500));
    const scope = 'repository:a/b:pull';
    expect((await rawFetch(blobUrl)).headers['www-authenticate']).toBe(
      `Bearer realm="${tokens.url}/token",service="registry",scope="${scope}"`,
    );
    expect(rule.hits).toBe(0);
    const take = async (headers: Record<string, string>): Promise<string> => {
      const { body } = await rawFetch(`${tokens.url}/token?service=registry&scope=${scope}`, { headers });
      return (JSON.parse(body.toString()) as { token: string }).token;
    };
    const anonymous = { Authorization: `Bearer ${await take({})}` };
    expect((await rawFetch(blobUrl, { headers: anonymous })).headers['www-authenticate']).toContain(
      'insufficient_scope',
    );
    const mine = { Authorization: `Bearer ${await take(basic('me', 'secret'))}` };
    expect((await rawFetch(blobUrl, { headers: mine })).status).toBe(500);
    expect((await rawFetch(blobUrl, { headers: mine })).status).toBe(200);
    expect(issuer.issued.map(({ scopes, user }) => [scopes, user])).toEqual([
      [[scope], undefined],
      [[scope], 'me'],
    ]);
    issuer.revokeAll();
    expect((await rawFetch(blobUrl, { headers: mine })).headers['www-authenticate']).toContain('invalid_token');
    expect((await rawFetch(`${tokens.url}/token`, { headers: basic('me', 'no') })).status).toBe(401);
  });

  it('and refuses credentials where a redirect leads', async () => {
    const url = `${upstream.url}/cdn/${digest}`;
    expect((await rawFetch(url)).sha256).toBe(digest);
    expect((await rawFetch(url, { headers: { Authorization: 'Bearer x' } })).status).toBe(400);
  });
});

describe('the raw client', () => {
  it('reads slowly, and stops where it is told', async () => {
    const start = performance.now();
    const slow = await rawFetch(blobUrl, { bytesPerSecond: 1_000_000, keep: false });
    expect(slow).toMatchObject({ cleanEnd: true, sha256: digest, bytes: blob.length });
    expect(slow.body).toHaveLength(0);
    expect(performance.now() - start).toBeGreaterThan(150);
    const gate = upstream.gate('reader');
    const stalled = rawFetch(blobUrl, { stall: { at: 1234, gate } });
    await gate.arrived();
    gate.open();
    expect(await stalled).toMatchObject({ cleanEnd: true, sha256: digest });
  });

  it('holds back a server whose client does not read', async () => {
    const big = upstream.content.addBlob('a/b', randomSource(64 * 1024 * 1024));
    const gate = upstream.gate('reader');
    const stalled = rawFetch(`${upstream.url}/v2/a/b/blobs/${big}`, { stall: { at: 1, gate }, keep: false });
    await gate.arrived();
    await delayed(200);
    expect(upstream.bytesSent()).toBeLessThan(32 * 1024 * 1024);
    gate.open();
    expect(await stalled).toMatchObject({ cleanEnd: true, sha256: big });
  });

  it('sends any bytes', async () => {
    using connection = await RawConnection.open(upstream.url);
    connection.write('BREW /v2/a/../b HTTP/1.1\r\nX: \xff\r\n\r\n');
    await upstream.received({ method: 'BREW' });
    expect(upstream.requests[0]).toMatchObject({ target: '/v2/a/../b', headers: { x: '\xff' }, kind: 'other' });
    upstream.cutAll();
    await expect(connection.ended()).resolves.toMatch(/^(reset|fin)$/);
  });
});

it('byte sources give the same bytes whichever way they are cut', () => {
  const source = randomSource(1000, 'x');
  const whole = Buffer.from(source.bytes(0, 1000));
  for (const [start, end] of [
    [0, 1],
    [15, 17],
    [999, 1000],
    [333, 777],
  ] as const) {
    expect(Buffer.from(source.bytes(start, end))).toEqual(whole.subarray(start, end));
  }
  expect(randomBytesOf(16, 'x')).not.toEqual(randomBytesOf(16, 'y'));
  expect(Buffer.from(sourceOf('abc').bytes(1, 2)).toString()).toBe('b');
  expect(createHash('sha256').update(whole).digest('hex')).toBe(
    createHash('sha256').update(randomBytesOf(1000, 'x')).digest('hex'),
  );
});

const delayed = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
