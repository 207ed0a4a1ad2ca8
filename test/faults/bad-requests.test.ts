import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { NoResponseError, RawConnection, rawFetch } from '../support/raw-client.ts';
import { Stage } from './support/stage.ts';

const image = buildImage({ seed: 'bad requests' });
const hex = image.digest.slice('sha256:'.length);
let stage: Stage;
let sent = 0;
let blob: { readonly digest: string; readonly path: string };

beforeAll(async () => {
  stage = await Stage.set();
  stage.upstream.content.add('team/app', image, 'latest');
  blob = stage.addBlob(1_000_000);
  for (const path of good()) expect((await rawFetch(`${stage.weir.url}${path}`)).status).toBe(200);
});

afterAll(() => stage?.[Symbol.asyncDispose]());

const good = (): readonly string[] => [
  blob.path,
  '/v2/team/app/manifests/latest',
  `/v2/team/app/manifests/${image.digest}`,
  '/v2/lab/team/app/tags/list',
  '/v2/',
];

interface Answer {
  readonly status: number | 'closed';
  readonly isClear: boolean;
}

/** One request of exactly these bytes. Clear is an OCI error as JSON, or an end without an answer. */
async function send(bytes: string): Promise<Answer> {
  using connection = await RawConnection.open(stage.weir.url);
  connection.write(bytes);
  try {
    const head = await connection.head();
    const method = bytes.startsWith('HEAD ') ? 'HEAD' : 'GET';
    const { body, cleanEnd } = await connection.body(head, method);
    if (head.status < 400 || method === 'HEAD') return { status: head.status, isClear: cleanEnd };
    const { errors } = JSON.parse(body.toString()) as { errors: readonly { code: string; message: string }[] };
    const [first] = errors;
    return { status: head.status, isClear: cleanEnd && /^[A-Z_]+$/.test(first?.code ?? '') && first?.message !== '' };
  } catch (error) {
    if (error instanceof NoResponseError) return { status: 'closed', isClear: true };
    throw error;
  }
}

const get = (target: string, headers = '', method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n${headers}\r\n`;

/** Sends all, and asks for what is good after each ten of them. */
async function expectRefused(requests: readonly string[], allowed: readonly Answer['status'][]): Promise<void> {
  const { pid } = stage.weir;
  const asked = stage.upstream.requests.length;
  const wrong: string[] = [];
  sent += requests.length;
  for (const [index, bytes] of requests.entries()) {
    const { status, isClear } = await send(bytes);
    if (!allowed.includes(status) || !isClear) wrong.push(`${status} ${bytes.slice(0, 150)}`);
    if (index % 10 === 9) {
      const path = good()[((index / 10) % good().length) | 0] ?? '/v2/';
      expect((await rawFetch(`${stage.weir.url}${path}`)).status).toBe(200);
    }
  }
  expect(wrong).toEqual([]);
  expect(stage.weir.pid).toBe(pid);
  // What is wrong by its form is nobody's business but weir's.
  const strange = stage.upstream.requests.slice(asked).filter(({ path }) => !path.startsWith('/v2/team/app/'));
  expect(strange.map(({ target }) => target)).toEqual([]);
}

const words = (text: string): readonly string[] => text.trim().split(/\s+/);
const names = [
  ...words('team//app team/app/ ../team/app team/../app team/%61pp team%2Fapp team/app%00 -team/app team/-app'),
  ...words('team/a__._b täm/app team/app:tag team/@app team/app;x team\\app team/app%2e%2e team/%2e%2e/app'),
  'lab/../team/app',
  'a'.repeat(300),
];
const digests = [
  ...words(
    `sha256: sha256 sha256:${hex.slice(1)} sha256:${hex}0 sha256:${hex.toUpperCase()} sha1:${hex} sha512:${hex}`,
  ),
  ...words(
    `sha256:${hex.slice(2)}zz sha256:../../${hex} sha256%3A${hex}%2f.. sha256:${hex}%00 SHA256:${hex} sha256::${hex}`,
  ),
  ...words(`sha256+b64:${hex} sha256:${'0'.repeat(4000)}`),
];
const tags = [...words('.latest -latest late%20st latest%2F latest%00 la+test lätest %2e%2e'), 'a'.repeat(129)];

describe('requests that are wrong by their form, to a daemon with a real cache', () => {
  it('names', () =>
    expectRefused(
      names.flatMap((name) => [
        get(`/v2/${name}/manifests/latest`),
        get(`/v2/${name}/blobs/${blob.digest}`, '', 'HEAD'),
        get(`/v2/${name}/tags/list`),
        get(`/v2/${name}/referrers/${image.digest}`),
      ]),
      [400, 404],
    ));

  it('digests and tags', () =>
    expectRefused(
      [
        ...digests.flatMap((digest) =>
          ['blobs', 'manifests', 'referrers'].map((kind) => get(`/v2/team/app/${kind}/${digest}`)),
        ),
        ...digests.map((digest) => get(`/v2/team/app/blobs/${digest}`, 'Range: bytes=0-1\r\n', 'HEAD')),
        ...tags.map((tag) => get(`/v2/team/app/manifests/${tag}`)),
      ],
      [400, 404],
    ));

  it('upstreams that nobody has configured', () =>
    expectRefused(
      [
        ...[
          'nobody.example',
          'lab&ns=lab',
          'lab&ns=other',
          '',
          '%00',
          'LAB%20',
          '127.0.0.1:1',
          '[::1]',
          'http://lab',
          'lab/../lab',
        ].map((ns) => get(`/v2/team/app/manifests/latest?ns=${ns}`)),
        ...['127.0.0.1:1', 'localhost:1', `127.0.0.1:${stage.upstream.port}`].map((host) =>
          get(`/v2/${host}/team/app/manifests/latest`),
        ),
        get('http://nobody.example/v2/team/app/manifests/latest'),
        get('nobody.example:443', '', 'CONNECT'),
      ],
      [400, 404, 405, 'closed'],
    ));

  it('methods that change something', () =>
    expectRefused(
      ['PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'TRACE'].flatMap((method) =>
        ['manifests/latest', `manifests/${image.digest}`, `blobs/${blob.digest}`, 'blobs/uploads/', 'tags/list'].map(
          (place) => get(`/v2/team/app/${place}`, 'Content-Length: 0\r\n', method),
        ),
      ),
      [400, 404, 405, 'closed'],
    ));

  it('queries', () =>
    expectRefused(
      ['n=-1', 'n=x', 'n=1.5', 'n=1e9', 'n=%00', `n=${'9'.repeat(400)}`].map((query) =>
        get(`/v2/team/app/tags/list?${query}`),
      ),
      [400],
    ));

  it('paths of other APIs', () =>
    expectRefused(
      [
        '/v1/',
        '/v3/',
        '/v2/_catalog/x',
        '/v2/team/app',
        '/v2/team/app/blobs/',
        '/etc/passwd',
        '/metrics',
        '/../weir.yaml',
        '/v2/%',
      ]
        .concat([
          '/v2/team/app/manifests/',
          '/v2/team/app/nope/latest',
          '/v2/team/app/referrers/latest',
          '*',
          '//v2/',
          '/v2//',
        ])
        .map((path) => get(path)),
      [400, 404],
    ));

  it('heads too large or too many, and floods of nonsense', () =>
    expectRefused(
      [
        get('/v2/', `X-Long: ${'x'.repeat(100_000)}\r\n`),
        get(`/v2/team/app/manifests/${'a'.repeat(60_000)}`),
        get('/v2/', 'X-A: b\r\n'.repeat(20_000)),
        get('/v2/', 'Cookie: a=b\r\n'.repeat(20_000)),
        `${'\0'.repeat(10_000)}\r\n\r\n`,
        `${'GET '.repeat(10_000)}\r\n\r\n`,
      ],
      [400, 404, 414, 431, 'closed'],
    ));
});

describe('ranges of a cached blob', () => {
  const many = Array.from({ length: 1500 }, (_, i) => `${i}-${i}`).join(',');
  const ranges = [
    ...words(
      'bytes= bytes=- bytes=a-b bytes=5-4 bytes=-0 bytes=1000000- bytes=0-0,5-4 bytes=--5 bytes=5 bits=0-1 bytes=,,,',
    ),
    ...words('bytes=0-99999999999999999999999 bytes=99999999999999999999999- bytes=0-1, BYTES=0-1 bytes=0x0-0x5'),
    ...words('bytes=-1000001 bytes=+1-2'),
    'bytes 0-1',
    `bytes=${'0-,'.repeat(2000)}0-1`,
    `bytes=${many}`,
  ];

  it.each(ranges.map((range) => [range.slice(0, 60), range]))('%s is a right answer or 416', async (_, range) => {
    const right = await rawFetch(`${stage.weir.url}${blob.path}`);
    const got = await rawFetch(`${stage.weir.url}${blob.path}`, { headers: { Range: range } });
    expect([200, 206, 416]).toContain(got.status);
    expect(got.cleanEnd).toBe(true);
    if (got.status === 200) expect(got.sha256).toBe(blob.digest);
    if (got.status === 416) expect(got.headers['content-range']).toBe('bytes */1000000');
    const place = /^bytes ([0-9]+)-([0-9]+)\/1000000$/.exec(got.headers['content-range'] ?? '');
    if (place !== null) expect(got.body.equals(right.body.subarray(Number(place[1]), Number(place[2]) + 1))).toBe(true);
    if (got.status === 206 && place === null)
      expect(got.headers['content-type']).toMatch(/^multipart\/byteranges; boundary=/);
  });
});

it('leaves a daemon without an unexpected error, whose metrics know no strange label', async () => {
  expect(sent).toBeGreaterThan(200);
  const lines = readFileSync(stage.weir.logFile, 'utf8').trimEnd().split('\n');
  const levels = lines.map((line) => (JSON.parse(line) as { level: string }).level);
  expect(levels.filter((level) => level === 'error' || level === 'fatal')).toEqual([]);
  const metrics = await (await fetch(`http://127.0.0.1:${stage.weir.adminPort}/metrics`)).text();
  expect(metrics).not.toMatch(/nobody|passwd|App"/);
  expect(await stage.weir.stop()).toBe(0);
});
