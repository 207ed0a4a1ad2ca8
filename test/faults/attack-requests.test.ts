/** Requests that are legal or nearly so, and made to cost, to confuse, or to be taken for two. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { download } from './support/blob-client.ts';
import { mib, Stage } from './support/stage.ts';

const image = buildImage({ seed: 'attacked', layers: [1000] });
const manifest = `/v2/team/app/manifests/${image.digest}`;
const host = 'Host: weir\r\n';
const close = 'Connection: close\r\n';
const get = (target: string, headers: string, version = 'HTTP/1.1'): string =>
  `GET ${target} ${version}\r\n${host}${headers}\r\n`;
const one = (headers: string): string => get(manifest, `${close}${headers}`);
/** Taken for a request of its own by whoever reads the one before it differently. */
const second = get('/v2/', close);
const many = (count: number, text: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => text(index)).join('');

/** What is sent, and the statuses of all its answers, after which weir closes the connection. */
type Case = readonly [name: string, bytes: (blob: string) => string, statuses: readonly number[]];

const served: readonly Case[] = [
  ['5,000 different headers', () => one(many(5000, (index) => `a${index}:b\r\n`)), [200]],
  ['10,000 headers of ten names', () => one(many(9900, (index) => `a${index % 10}:\r\n`)), [200]],
  ['names that objects have', () => one('__proto__: x\r\nconstructor: y\r\ntoString: z\r\n'), [200]],
  ['60 KB of Accept', () => one(`Accept: ${'a/b;q=0.1,'.repeat(6000)}\r\n`), [200]],
  ['60 KB of commas to If-None-Match', () => one(`If-None-Match: ${', '.repeat(30_000)}\r\n`), [200]],
  ['60 KB of quotes to If-None-Match', () => one(`If-None-Match: ${'"'.repeat(60_000)}\r\n`), [200]],
  ['20,000 tags before the right one', () => one(`If-None-Match: ${'"",'.repeat(20_000)}"${image.digest}"\r\n`), [304]],
  ['31,000 commas in a range', (blob) => get(blob, `${close}Range: bytes=${','.repeat(31_000)}0-1\r\n`), [206]],
  [
    '5,000 requests in a row',
    () => many(4999, () => get(manifest, '')) + second,
    Array.from({ length: 5000 }, () => 200),
  ],
  ['empty lines before a request', () => `${'\r\n'.repeat(100_000)}${second}`, [200]],
  ['HTTP/1.0', () => `GET ${manifest} HTTP/1.0\r\n\r\n`, [200]],
  ['the absolute form', () => get(`http://weir${manifest}`, close), [200]],
  ['Expect without a body', () => one('Expect: 100-continue\r\n'), [200]],
  ['Expect, and a body that did not wait', () => one('Expect: 100-continue\r\nContent-Length: 5\r\n') + 'hello', [200]],
  ['an unknown expectation', () => one('Expect: 200-ok\r\n'), [200]],
  [
    'a chunked body',
    () => `${get(manifest, 'Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n0\r\n\r\n${second}`,
    [200, 200],
  ],
  [
    'a body that looks like a request',
    () => `${get(manifest, `Content-Length: ${second.length}\r\n`)}${second}${second}`,
    [200, 200],
  ],
  ['a trailer', () => `${get(manifest, 'Transfer-Encoding: chunked\r\n')}0\r\nHost: evil\r\n\r\n${second}`, [200, 200]],
  [
    'an upgrade to h2c',
    () => get(manifest, 'Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n') + second,
    [200],
  ],
  ['an upgrade to a web socket', () => get('/v2/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n') + second, [200]],
  ['Host among the names of Connection', () => get(manifest, 'Connection: host, close\r\n'), [200]],
];

const refused: readonly Case[] = [
  ['100 KB of If-None-Match', () => one(`If-None-Match: ${'"x",'.repeat(25_000)}\r\n`), [431]],
  ['100 KB of Accept', () => one(`Accept: ${'a/b;q=0.1,'.repeat(10_000)}\r\n`), [431]],
  ['100,000 ranges', (blob) => get(blob, `Range: bytes=${many(100_000, (index) => `${index}-,`)}\r\n`), [431]],
  ['a request line of 1 MB', () => get(`/v2/${'a'.repeat(mib)}`, ''), [431]],
  ['the absolute form of another place', () => get(`http://evil.example${manifest}`, close), [400]],
  ['the authority form', () => get('evil.example:80', close), [400]],
  ['HTTP/0.9', () => `GET ${manifest}\r\n\r\n`, [505]],
  ['HTTP/1.2', () => get(manifest, close, 'HTTP/1.2'), [400]],
  ['the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', [400]],
  ['a slash that is encoded', () => get('/v2/team%2fapp/manifests/v1', close), [400]],
  ['a NUL that is encoded', () => get('/v2/team/app/manifests/v1%00', close), [400]],
  ['a NUL', () => get('/v2/team/app/manifests/v1\0', close), [400]],
  [
    'a length and chunks',
    () => `${get(manifest, 'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n')}0\r\n\r\n${second}`,
    [400],
  ],
  ['two lengths', () => get(manifest, 'Content-Length: 0\r\nContent-Length: 5\r\n') + second, [400]],
  ['a length with a sign', () => `${get(manifest, 'Content-Length: +5\r\n')}hello${second}`, [400]],
  ['a length beyond counting', () => `${get(manifest, `Content-Length: ${'9'.repeat(30)}\r\n`)}hello`, [400]],
  [
    'chunks that end otherwise',
    () => `${get(manifest, 'Transfer-Encoding: chunked\r\n')}5\nhello\n0\n\n${second}`,
    [400],
  ],
  ['a coding that is none', () => get(manifest, 'Transfer-Encoding: identity\r\n') + second, [400]],
  ['a header on two lines', () => one('X: a\r\n b\r\n'), [400]],
  ['a blank before the colon', () => `GET ${manifest} HTTP/1.1\r\nHost : weir\r\n\r\n`, [400]],
  ['lines without CR', () => `GET ${manifest} HTTP/1.1\nHost: weir\n\n`, [400]],
  ['a handshake', () => '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', [400]],
];

/** Statuses of all answers; resolves when weir closes the connection. */
function send(port: number, bytes: string): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1');
    const timer = setTimeout(() => socket.destroy(new Error('the connection stays open')), 60_000);
    let failure: Error | undefined;
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    // Whoever refuses what is still being sent resets the connection.
    socket.on('error', (error: NodeJS.ErrnoException) => (failure = error.code === undefined ? error : undefined));
    socket.on('close', () => {
      clearTimeout(timer);
      if (failure !== undefined) return reject(failure);
      const text = Buffer.concat(chunks).toString('latin1');
      return resolve([...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)));
    });
    socket.write(bytes, 'latin1');
  });
}

describe.each([
  ['threads of their own', {}],
  ['the main thread', { serve: { threads: 1 } }],
])('requests that are made to cost or to confuse, served by %s', (_who, config) => {
  let stage: Stage;
  let blob: string;

  beforeAll(async () => {
    stage = await Stage.set(config);
    stage.upstream.content.add('team/app', image);
    blob = stage.addBlob(1_000_000).path;
    for (const path of [manifest, blob]) expect((await download(stage.weir.port, path)).isComplete).toBe(true);
  });

  afterAll(() => stage?.[Symbol.asyncDispose]());

  it.each([...served, ...refused])('%s', async (_name, bytes, statuses) => {
    const asked = stage.upstream.requests.length;
    const { port, pid } = stage.weir;
    const text = bytes(blob);
    // The reset that ends what is still being sent may overtake the answer.
    const mayBeLost = text.length > 64 * 1024 && (statuses[0] ?? 0) >= 400;
    expect([statuses, ...(mayBeLost ? [[]] : [])]).toContainEqual(await send(port, text));
    expect(await download(port, manifest)).toMatchObject({ status: 200, isComplete: true });
    expect([stage.weir.pid, stage.upstream.requests.length]).toEqual([pid, asked]);
  });

  it('a layer’s own addresses are never asked', async () => {
    let calls = 0;
    await using trap = createServer((socket) => {
      calls += 1;
      socket.destroy();
    });
    trap.listen(0, '127.0.0.1');
    await once(trap, 'listening');
    const place = trap.address();
    const url = `http://127.0.0.1:${typeof place === 'object' ? place?.port : ''}/layer`;
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const foreign = `sha256:${'ab'.repeat(32)}`;
    const [config] = image.blobs;
    const layers = [
      {
        mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
        digest: foreign,
        size: 9,
        urls: [url],
      },
      { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: image.blobs[1]?.digest, size: 1000, urls: [url] },
    ];
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: config?.digest,
        size: config?.bytes.byteLength,
      },
      layers,
    });
    const digest = stage.upstream.content.addManifest('team/app', text, mediaType);
    const { port } = stage.weir;
    expect(await download(port, `/v2/team/app/manifests/${digest}`)).toMatchObject({ status: 200, isComplete: true });
    // The blob that says where it could be had, and one that has the manifest's others fetched ahead.
    expect((await download(port, `/v2/team/app/blobs/${foreign}`)).status).toBe(404);
    expect((await download(port, `/v2/team/app/blobs/${config?.digest}`)).status).toBe(200);
    await stage.weir.idle();
    expect(calls).toBe(0);
  });
});
