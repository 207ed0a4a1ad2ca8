/** Requests that are wrong in one way each, on bare sockets: an answer that says so, never a crash, never a question. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { RawConnection } from '../../support/raw-client.ts';
import { type Front, startFront } from '../support/front.ts';

interface BadRequest {
  readonly bytes: string;
  /** Statuses that are right; `none` allows the connection to close without an answer. */
  readonly expected: readonly (number | 'none')[];
}

const digest = digestOf('x');
const hex = digest.slice('sha256:'.length);

function get(target: string, headers = 'Host: weir\r\n', method = 'GET', version = 'HTTP/1.1'): string {
  return `${method} ${target} ${version}\r\n${headers}\r\n`;
}

const badNames = [
  'A-',
  'a/',
  '/a',
  'a//b',
  '-a',
  'a-',
  'a___b',
  'a..b',
  'a_',
  '.a',
  'a.',
  '_a',
  'a/./b',
  'a/../b',
  '..',
  '.',
  'a b',
  'a%20b',
  'a%2fb',
  '%2e%2e',
  'a%00',
  'ä',
  'a:b',
  'a@b',
  'a\\b',
  'a;b',
  "a'b",
  'a"b',
  'a<b>',
  'a|b',
  '~a',
  'a*b',
  'a,b',
  'a+b',
  '$(id)',
  'a/b/%2e%2e/c',
  'x'.repeat(256),
  `${'a/'.repeat(200)}b`,
];

const badReferences = [
  '.x',
  '-x',
  'a+b',
  'a%2Fb',
  'a b',
  'x'.repeat(129),
  'sha256:totallywrong',
  `sha256:${hex.slice(1)}`,
  `sha256:${hex}0`,
  `sha256:${hex.toUpperCase()}`,
  'sha256:',
  `:${hex}`,
  `md5:${hex.slice(0, 32)}`,
  'md5:x y',
  `sha512:${hex}`,
  'multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8',
  `sha256:${hex.slice(0, 63)}g`,
  `SHA256:${hex}`,
  `sha256%3A${hex}%00`,
  `sha256%253A${hex}`,
  `sha256::${hex}`,
  '%',
  '%zz',
  '..%2f..%2fetc%2fpasswd',
  '@sha256',
  '!',
];

/** Bytes that are no HTTP/1.1 request, or one that two parties could read in two ways. */
const badMessages: readonly (readonly [string, ...(number | 'none')[]])[] = [
  ['GET /v2/\r\n\r\n', 505, 'none'],
  ['GET /v2/ HTTP/0.9\r\n\r\n', 505],
  ['GET /v2/ HTTP/2.0\r\n\r\n', 505],
  ['GET /v2/ HTTP/1.2\r\nHost: x\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1 \r\nHost: x\r\n\r\n', 400],
  ['GET /v2/ HTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['NOPE /v2/ HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['GET  HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['GET v2/ HTTP/1.1\r\nHost: x\r\n\r\n', 400, 404],
  ['GET\t/v2/\tHTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['GET /v2/\u0001 HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['GET /v2/\u00ff HTTP/1.1\r\nHost: x\r\n\r\n', 400, 404],
  ['\u0000\u0001\u0002\u0003\r\n\r\n', 400],
  ['\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003', 400],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'none'],
  ['GET /v2/ HTTP/1.1\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: a,b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: <script>\r\n\r\n', 400],
  [`GET /v2/ HTTP/1.1\r\nHost: ${'h'.repeat(300)}\r\n\r\n`, 400],
  ['GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\n Host: x\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\tfolded\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\nHost: x\n\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: b\nX-C: d\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\rX-A: b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\n: value\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n', 400],
  ['GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: \u0000\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nabcde', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n', 400],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400, 405],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n', 400, 405],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefg\r\n0\r\n\r\n', 400, 405],
  ['POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n', 400, 405],
  [`GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
  [`GET /${'a'.repeat(70_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 400, 414, 431],
  ['GET http://evil.example/v2/ HTTP/1.1\r\nHost: weir\r\n\r\n', 400],
  ['GET https://evil.example/v2/ HTTP/1.1\r\nHost: weir\r\n\r\n', 400],
  ['GET http://weir@evil.example/v2/ HTTP/1.1\r\nHost: weir\r\n\r\n', 400],
  ['GET http://weir:80/v2/ HTTP/1.1\r\nHost: weir\r\n\r\n', 400],
  ['GET ftp://weir/v2/ HTTP/1.1\r\nHost: weir\r\n\r\n', 400, 404],
  ['GET //evil.example/v2/ HTTP/1.1\r\nHost: weir\r\n\r\n', 400, 404],
  ['OPTIONS * HTTP/1.1\r\nHost: weir\r\n\r\n', 400, 404, 405],
  ['CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n', 405],
  ['CONNECT / HTTP/1.1\r\nHost: weir\r\n\r\n', 400, 405],
  ['GET /v2/#fragment HTTP/1.1\r\nHost: weir\r\n\r\n', 400, 404],
];

const badQueries = [
  '?n=-1',
  '?n=x',
  '?n=1.5',
  '?n=%00',
  '?n=1e9',
  '?n= 1',
  '?n=99999999999999999999',
  '?ns=',
  '?ns=a&ns=b',
  '?ns=evil.example',
  '?ns=127.0.0.1',
  '?ns=[::1]',
  '?ns=ghcr.io%00',
  '?ns=ghcr.io.',
  '?ns=%67hcr.io%2f..',
  '?ns=http://ghcr.io',
];

function allBad(): readonly BadRequest[] {
  const list: BadRequest[] = [];
  for (const name of badNames) {
    for (const rest of ['manifests/latest', `blobs/${digest}`, 'tags/list', `referrers/${digest}`]) {
      list.push({ bytes: get(`/v2/${name}/${rest}`), expected: [400, 404] });
    }
  }
  for (const reference of badReferences) {
    for (const rest of ['manifests', 'blobs', 'referrers']) {
      list.push({ bytes: get(`/v2/a/b/${rest}/${reference}`), expected: [400, 404] });
    }
  }
  for (const query of badQueries) list.push({ bytes: get(`/v2/a/b/tags/list${query}`), expected: [400, 404] });
  for (const [bytes, ...expected] of badMessages) list.push({ bytes, expected });
  return list;
}

/** The status, or `none`, after checking that an answer is complete, in the OCI form and of bounded size. */
async function statusOf(front: Front, { bytes }: BadRequest): Promise<number | 'none'> {
  using connection = await RawConnection.open(front.origin);
  connection.write(bytes);
  let head;
  try {
    head = await connection.head();
  } catch {
    // NoResponseError; the table says whether that is right.
    return 'none';
  }
  const body = await connection.body(head);
  expect(body.cleanEnd).toBe(true);
  expect(body.bytes).toBeLessThan(2_000);
  expect(head.headers['content-type']).toBe('application/json');
  expect(JSON.parse(body.body.toString())).toMatchObject({
    errors: [{ code: expect.stringMatching(/^[A-Z_]+$/) as string }],
  });
  return head.status;
}

describe('bad requests', () => {
  it(
    '300 of them are refused as they should be, and the daemon goes on as if nothing had been',
    { timeout: 60_000 },
    async () => {
      await using front = await startFront();
      const all = allBad();
      expect(all.length).toBeGreaterThanOrEqual(300);
      const wrong: string[] = [];
      for (const request of all) {
        const status = await statusOf(front, request);
        if (!request.expected.includes(status)) wrong.push(`${JSON.stringify(request.bytes.slice(0, 120))}: ${status}`);
      }
      expect(wrong).toEqual([]);
      expect(front.cache.questions).toBe(0);
      expect(front.log.errors).toEqual([]);
      expect(front.ended.filter(({ code }) => code >= 500)).toEqual([]);
      using connection = await RawConnection.open(front.origin);
      connection.send('/v2/');
      expect((await connection.head()).status).toBe(200);
    },
  );

  it('what they say is never repeated where it could be taken for something else', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.send('/v2/a/b/manifests/%3Cscript%3Ealert(1)');
    const head = await connection.head();
    expect([head.headers['content-type'], head.headers['x-content-type-options']]).toEqual([
      'application/json',
      'nosniff',
    ]);
  });
});
