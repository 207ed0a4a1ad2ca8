/** distribution-spec 1.1.1, "Error Codes" and "Warnings". */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { buildImage } from '../support/image-builder.ts';
import { answer, headers, html } from '../support/upstream/behaviour.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const image = buildImage({ seed: 'errors' });
const missing = digestOf('missing');

/** code-1 to code-14. */
const specified = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
];
/** Of distribution (registry/api/errcode/register.go), whose clients know them; the specification has none that fits. */
const ofDistribution = ['RANGE_INVALID', 'PAGINATION_NUMBER_INVALID'];

interface Refusal {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly code: string;
  readonly head: Readonly<Record<string, string>>;
}

const refusal = (method: string, path: string, status: number, code: string, head: Refusal['head'] = {}): Refusal => ({
  method,
  path,
  status,
  code,
  head,
});

/** Every way to an answer of the 4xx class, with its code. */
const refusals: readonly Refusal[] = [
  refusal('GET', `${name}/manifests/nope`, 404, 'MANIFEST_UNKNOWN'),
  refusal('GET', `${name}/manifests/${missing}`, 404, 'MANIFEST_UNKNOWN'),
  refusal('GET', `${name}/blobs/${missing}`, 404, 'BLOB_UNKNOWN'),
  refusal('GET', 'no/such/tags/list', 404, 'NAME_UNKNOWN'),
  refusal('GET', 'not__-a-name/tags/list', 400, 'NAME_INVALID'),
  refusal('GET', `${name}/manifests/sha256:no`, 400, 'DIGEST_INVALID'),
  refusal('GET', `${name}/blobs/sha256:no`, 400, 'DIGEST_INVALID'),
  refusal('GET', `${name}/referrers/sha256:no`, 400, 'DIGEST_INVALID'),
  refusal('GET', `${name}/manifests/-`, 404, 'MANIFEST_UNKNOWN'),
  refusal('GET', `${name}/tags/list?n=-1`, 400, 'PAGINATION_NUMBER_INVALID'),
  refusal('GET', `${name}/blobs/${image.blobs[1]?.digest}`, 416, 'RANGE_INVALID', { Range: 'bytes=99999-' }),
  refusal('GET', `${name}/blobs/uploads/1`, 404, 'BLOB_UPLOAD_UNKNOWN'),
  refusal('GET', '/v2/nothing', 404, 'UNSUPPORTED'),
  refusal('PUT', `${name}/manifests/v1`, 405, 'UNSUPPORTED'),
  refusal('GET', `${name}/manifests/v1?ns=unknown.example`, 404, 'NAME_UNKNOWN'),
];

describe('an error', () => {
  it.each(refusals)(
    '$method $path is $status $code, in the form that the specification has for it',
    async ({ method, path, status, code, head }) => {
      await using weir = await WeirUnderTest.start();
      weir.upstream.content.add(name, image, 'v1');
      const refused = await weir.ask(path, { method, headers: head });
      expect([refused.status, refused.headers['content-type']]).toEqual([status, 'application/json']);
      const document = JSON.parse(refused.body.toString()) as { readonly errors: readonly Record<string, unknown>[] };
      expect(Object.keys(document)).toEqual(['errors']);
      expect(document.errors).toHaveLength(1);
      expect(document.errors[0]).toMatchObject({ code, message: expect.stringMatching(/\w/) });
      expect(Object.keys(document.errors[0] ?? {}).every((key) => ['code', 'message', 'detail'].includes(key))).toBe(
        true,
      );
    },
  );

  it('has a code of the specification, or one of three of distribution where that has none', () => {
    const codes = new Set(refusals.map(({ code }) => code));
    expect([...codes].filter((code) => !specified.includes(code)).toSorted()).toEqual(ofDistribution.toSorted());
    for (const code of codes) expect(code).toMatch(/^[A-Z_]+$/);
  });

  it.each([
    ['401', answer(401), 403, 'DENIED'],
    ['403', answer(403), 403, 'DENIED'],
    ['429', answer(429, { headers: { 'Retry-After': '3600' } }), 429, 'TOOMANYREQUESTS'],
    ['500', answer(500), 502, 'UNAVAILABLE'],
    ['200 with HTML', html(200), 502, 'UNKNOWN'],
    ['404 with HTML', html(404), 404, 'MANIFEST_UNKNOWN'],
  ])('of the upstream, %s, is one of weir, and never its page', async (_, behaviour, status, code) => {
    await using weir = await WeirUnderTest.start();
    weir.upstream.content.add(name, image, 'v1');
    weir.upstream.on({ kind: 'manifest' }, behaviour);
    const refused = await weir.ask(`${name}/manifests/v1`);
    expect([refused.status, refused.headers['content-type'], errorOf(refused).code]).toEqual([
      status,
      'application/json',
      code,
    ]);
    expect(refused.headers['www-authenticate']).toBeUndefined();
  });

  it('for HEAD has the headers of GET and no body', async () => {
    await using weir = await WeirUnderTest.start();
    const [get, head] = [
      await weir.ask('no/such/manifests/v1'),
      await weir.ask('no/such/manifests/v1', { method: 'HEAD' }),
    ];
    expect([head.status, head.bytes]).toEqual([404, 0]);
    for (const header of ['content-type', 'content-length']) expect(head.headers[header]).toBe(get.headers[header]);
  });
});

describe('a warning', () => {
  it('is in no answer: weir has none of its own, and those of an upstream are not repeated from the cache', async () => {
    await using weir = await WeirUnderTest.start();
    weir.upstream.content.add(name, image, 'v1');
    weir.upstream.on({}, headers({ Warning: `299 - "${'x'.repeat(5000)}"` }));
    for (const path of [
      'manifests/v1',
      'manifests/v1',
      `blobs/${image.blobs[1]?.digest}`,
      'tags/list',
      'manifests/no',
    ]) {
      const { headers: given } = await weir.ask(`${name}/${path}`);
      expect([path, given['warning']]).toEqual([path, undefined]);
    }
  });
});
