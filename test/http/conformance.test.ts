/** The cases of the distribution-spec's conformance suite for a registry that is only read, as one client after another. */
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { ask } from './support/ask.ts';
import { bytesOf, FakeBlob, patternSource } from './support/fake-cache.ts';
import { type Front, startFront } from './support/front.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const accept = { Accept: [indexType, manifestType] };
const missing = digestOf('missing');

interface Seeded extends Front {
  readonly manifests: readonly {
    readonly references: readonly string[];
    readonly digest: Digest;
    readonly mediaType: string;
    readonly bytes: Buffer;
  }[];
  readonly blob: FakeBlob;
}

async function seeded(): Promise<Seeded> {
  const front = await startFront();
  const repository = 'docker.io/conformance/repo1';
  const contents = [
    ['image', manifestType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestType, layers: [] }))],
    ['index', indexType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [] }))],
    [
      'large',
      manifestType,
      Buffer.from(JSON.stringify({ schemaVersion: 2, annotations: { a: 'x'.repeat(3_900_000) } })),
    ],
  ] as const;
  const manifests = contents.map(([tag, mediaType, bytes]) => {
    const digest = front.cache.addManifest(repository, tag, { bytes, mediaType });
    return { references: [tag, digest], digest, mediaType, bytes };
  });
  const blob = front.cache.addBlob(repository, new FakeBlob(patternSource(2048)));
  front.cache.addBlob(repository, new FakeBlob(patternSource(0), digestOf('')));
  return { ...front, manifests, blob };
}

describe('conformance, read only', () => {
  it('every manifest, HEAD and GET, by tag and by digest', async () => {
    await using front = await seeded();
    for (const { references, digest, mediaType, bytes } of front.manifests) {
      for (const reference of references) {
        for (const method of ['HEAD', 'GET']) {
          const answer = await ask(front.port, `/v2/conformance/repo1/manifests/${reference}`, {
            method,
            headers: accept,
          });
          expect(answer.status).toBe(200);
          expect(answer.headers['docker-content-digest']).toBe(digest);
          expect(answer.headers['content-type']).toBe(mediaType);
          expect(answer.headers['content-length']).toBe(String(bytes.length));
          expect(method === 'HEAD' ? answer.body.length : digestOf(answer.body)).toBe(method === 'HEAD' ? 0 : digest);
        }
      }
    }
  });

  it('every blob, HEAD and GET, the empty one too', async () => {
    await using front = await seeded();
    for (const [digest, size] of [
      [front.blob.digest, 2048],
      [digestOf(''), 0],
    ] as const) {
      for (const method of ['HEAD', 'GET']) {
        const answer = await ask(front.port, `/v2/conformance/repo1/blobs/${digest}`, { method });
        expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, digest]);
        expect(answer.headers['content-length']).toBe(String(size));
        expect(answer.body.length).toBe(method === 'HEAD' ? 0 : size);
      }
    }
  });

  it.each([
    [`manifests/nope`, 'MANIFEST_UNKNOWN', 404],
    [`manifests/${missing}`, 'MANIFEST_UNKNOWN', 404],
    [`blobs/${missing}`, 'BLOB_UNKNOWN', 404],
    ['manifests/sha256:totallywrong', 'DIGEST_INVALID', 400],
    ['manifests/sha256:baddigeststring', 'DIGEST_INVALID', 400],
    ['blobs/sha256:baddigeststring', 'DIGEST_INVALID', 400],
    ['referrers/sha256:baddigeststring', 'DIGEST_INVALID', 400],
  ])('%s is %s, for HEAD and GET', async (path, code, status) => {
    await using front = await seeded();
    for (const method of ['HEAD', 'GET']) {
      const answer = await ask(front.port, `/v2/conformance/repo1/${path}`, { method, headers: accept });
      expect(answer.status).toBe(status);
      if (method === 'GET') expect(JSON.parse(answer.text)).toMatchObject({ errors: [{ code }] });
    }
  });

  it.each([
    ['500-1499', 206, 500, 1500],
    ['500-', 206, 500, 2048],
    ['-500', 206, 1548, 2048],
    ['2000-5000', 206, 2000, 2048],
    ['5000-10000', 416, 0, 0],
    ['500-0', 416, 0, 0],
  ])('a blob of 2048 bytes, range %s: %i', async (range, status, start, end) => {
    await using front = await seeded();
    const answer = await ask(front.port, `/v2/conformance/repo1/blobs/${front.blob.digest}`, {
      headers: { Range: `bytes=${range}` },
    });
    expect(answer.status).toBe(status);
    if (status === 206) {
      expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/2048`);
      expect(answer.body.equals(bytesOf(front.blob.source, start, end))).toBe(true);
    }
  });

  it('tags, with n and last', async () => {
    await using front = await seeded();
    front.cache.tagsAnswer = { tags: ['image', 'index'], next: { n: 2, last: 'index' }, outcome: { kind: 'hit' } };
    const answer = await ask(front.port, '/v2/conformance/repo1/tags/list?n=2&last=a');
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
    expect(JSON.parse(answer.text)).toEqual({ name: 'conformance/repo1', tags: ['image', 'index'] });
    expect(front.cache.tagsQueries).toMatchObject([{ n: 2, last: 'a' }]);
    const [, target = ''] = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(String(answer.headers.link)) ?? [];
    expect((await ask(front.port, target)).status).toBe(200);
    expect(front.cache.tagsQueries[1]).toMatchObject({ n: 2, last: 'index' });
  });

  it('referrers of anything are an index', async () => {
    await using front = await seeded();
    const answer = await ask(front.port, `/v2/conformance/repo1/referrers/${missing}`);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, indexType]);
    expect(JSON.parse(answer.text)).toEqual({ schemaVersion: 2, mediaType: indexType, manifests: [] });
  });

  it.each(['manifests/image', `manifests/${missing}`, `blobs/${missing}`])(
    'DELETE %s is 405 UNSUPPORTED',
    async (path) => {
      await using front = await seeded();
      const answer = await ask(front.port, `/v2/conformance/repo1/${path}`, { method: 'DELETE' });
      expect([answer.status, answer.text.includes('"UNSUPPORTED"')]).toEqual([405, true]);
    },
  );
});
