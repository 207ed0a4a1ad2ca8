/** distribution-spec 1.1.1, "Pulling blobs" and "Checking if content exists in the registry". */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { buildImage, buildIndex } from '../support/image-builder.ts';
import { flip } from '../support/upstream/behaviour.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const blobs = [0, 1, 2048, 300_000].map((size) => randomBytesOf(size, `blob ${size}`));

async function seeded(): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  for (const bytes of blobs) weir.upstream.content.addBlob(name, bytes);
  return weir;
}

describe('a blob', () => {
  it('that exists is 200 with exactly its bytes and its digest, the empty one too, cold and warm', async () => {
    await using weir = await seeded();
    for (const bytes of blobs) {
      for (let i = 0; i < 2; i++) {
        const answer = await weir.ask(`${name}/blobs/${digestOf(bytes)}`);
        expect([answer.status, answer.body.equals(bytes), answer.cleanEnd]).toEqual([200, true, true]);
        expect(answer.headers).toMatchObject({
          'content-type': 'application/octet-stream',
          'content-length': String(bytes.length),
          'docker-content-digest': digestOf(bytes),
        });
      }
    }
  });

  it('that exists is 200 for HEAD, with digest and size and no body, cold and warm', async () => {
    await using weir = await seeded();
    for (const bytes of blobs) {
      for (const method of ['HEAD', 'GET', 'HEAD']) {
        const answer = await weir.ask(`${name}/blobs/${digestOf(bytes)}`, { method });
        expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, digestOf(bytes)]);
        expect(answer.headers['content-length']).toBe(String(bytes.length));
        expect(answer.bytes).toBe(method === 'HEAD' ? 0 : bytes.length);
      }
    }
  });

  it.each(['v1', 'all'])(
    'that the upstream has purged makes the tag %s due, whose manifest leads to it',
    async (tag) => {
      await using weir = await WeirUnderTest.start({ tagTtlMs: 86_400_000 });
      const { content } = weir.upstream;
      const [purged, rebuilt] = ['purged', 'rebuilt'].map((seed) => buildImage({ seed, layers: [100] }));
      if (purged === undefined || rebuilt === undefined) throw new Error('no images');
      content.add(name, purged, 'v1');
      content.add(name, buildIndex([purged]), 'all');
      const layer = purged.blobs.at(-1)?.digest ?? '';
      // As a client pulls it, up to the layer.
      for (const reference of [tag, purged.digest]) await weir.ask(`${name}/manifests/${reference}`);
      content.add(name, rebuilt, tag);
      content.remove(name, layer);
      expect((await weir.ask(`${name}/manifests/${tag}`)).sha256).not.toBe(rebuilt.digest);
      expect((await weir.ask(`${name}/blobs/${layer}`)).status).toBe(404);
      expect((await weir.ask(`${name}/manifests/${tag}`)).sha256).toBe(rebuilt.digest);
    },
  );

  it('that does not exist is 404 BLOB_UNKNOWN, for HEAD too', async () => {
    await using weir = await seeded();
    const path = `${name}/blobs/${digestOf('missing')}`;
    expect((await weir.ask(path, { method: 'HEAD' })).status).toBe(404);
    const answer = await weir.ask(path);
    expect([answer.status, errorOf(answer).code]).toEqual([404, 'BLOB_UNKNOWN']);
  });

  it('that another repository has is 404, cached or not', async () => {
    await using weir = await seeded();
    weir.upstream.content.addBlob('other/repo', 'something else');
    const path = `blobs/${digestOf(blobs[3] ?? '')}`;
    expect((await weir.ask(`other/repo/${path}`)).status).toBe(404);
    expect((await weir.ask(`${name}/${path}`)).status).toBe(200);
    expect((await weir.ask(`other/repo/${path}`)).status).toBe(404);
  });

  it.each(['sha256:baddigeststring', 'latest', `sha256:${'0'.repeat(63)}`, `md5:${'0'.repeat(32)}`])(
    'with a digest that is none, %s, is 400 DIGEST_INVALID, and the upstream is not asked',
    async (digest) => {
      await using weir = await seeded();
      const answer = await weir.ask(`${name}/blobs/${digest}`);
      expect([answer.status, errorOf(answer).code]).toEqual([400, 'DIGEST_INVALID']);
      expect(weir.upstream.requests).toEqual([]);
    },
  );

  it('is never complete for a client when its bytes are not those of its digest', async () => {
    for (const bytes of blobs.slice(1)) {
      await using weir = await seeded();
      weir.upstream.on({ kind: 'blob' }, flip(-1));
      const answer = await weir.ask(`${name}/blobs/${digestOf(bytes)}`);
      expect([answer.status, answer.cleanEnd]).not.toEqual([200, true]);
      if (answer.status !== 200) expect(answer.status).toBe(502);
    }
  });

  it('is no manifest, and a manifest is no blob', async () => {
    await using weir = await seeded();
    const manifest = JSON.stringify({ schemaVersion: 2, config: {}, layers: [] });
    const digest = weir.upstream.content.addManifest(name, manifest, 'application/vnd.oci.image.manifest.v1+json');
    expect((await weir.ask(`${name}/manifests/${digest}`)).status).toBe(200);
    expect((await weir.ask(`${name}/blobs/${digest}`)).status).toBe(404);
    const blob = digestOf(blobs[2] ?? '');
    expect((await weir.ask(`${name}/blobs/${blob}`)).status).toBe(200);
    expect((await weir.ask(`${name}/manifests/${blob}`)).status).toBe(404);
  });
});
