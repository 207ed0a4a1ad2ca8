/** distribution-spec 1.1.1, "Determining Support", "Pulling manifests" and "Checking if content exists in the registry". */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { buildImage, buildIndex } from '../support/image-builder.ts';
import { body, headers } from '../support/upstream/behaviour.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const image = buildImage({ seed: 'image' });
const index = buildIndex([image, buildImage({ seed: 'other' })]);

async function seeded(): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  weir.upstream.content.add(name, image, 'image');
  weir.upstream.content.add(name, index, 'index');
  return weir;
}

describe('a registry', () => {
  it('says at /v2/ that it implements the specification, and asks nobody to log in', async () => {
    await using weir = await seeded();
    for (const path of ['/v2/', '/v2']) {
      const answer = await weir.ask(path);
      expect([answer.status, answer.body.toString()]).toEqual([200, '{}']);
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
    }
    expect(weir.upstream.requests).toEqual([]);
  });

  it('has all endpoints of pulling and of content discovery', async () => {
    await using weir = await seeded();
    for (const path of [
      '/v2/',
      `${name}/manifests/image`,
      `${name}/manifests/${image.digest}`,
      `${name}/blobs/${image.blobs[0]?.digest}`,
      `${name}/tags/list`,
      `${name}/tags/list?n=1&last=image`,
      `${name}/referrers/${image.digest}`,
      `${name}/referrers/${image.digest}?artifactType=x%2Fy`,
    ]) {
      expect([path, (await weir.ask(path)).status]).toEqual([path, 200]);
    }
  });
});

describe('a reference', () => {
  it('is a tag or a digest: both lead to the manifest, cold and warm', async () => {
    for (const { digest, mediaType, bytes, tag } of [
      { ...image, tag: 'image' },
      { ...index, tag: 'index' },
    ]) {
      for (const reference of [tag, digest, digest.replace(':', '%3A')]) {
        await using weir = await seeded();
        for (let i = 0; i < 2; i++) {
          const answer = await weir.ask(`${name}/manifests/${reference}`);
          expect([answer.status, answer.headers['content-type'], answer.sha256]).toEqual([200, mediaType, digest]);
          expect(answer.body.equals(bytes)).toBe(true);
        }
        expect(weir.upstream.count({ kind: 'manifest' })).toBe(1);
      }
    }
  });

  it.each([
    ['sha256:totallywrong', 'DIGEST_INVALID'],
    ['sha256:baddigeststring', 'DIGEST_INVALID'],
    [`sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'],
    [':', 'DIGEST_INVALID'],
  ])('in another form, %s, is 400, and the upstream is not asked', async (reference, code) => {
    await using weir = await seeded();
    for (const method of ['GET', 'HEAD']) {
      const answer = await weir.ask(`${name}/manifests/${reference}`, { method });
      expect(answer.status).toBe(400);
      if (method === 'GET') expect(errorOf(answer).code).toBe(code);
    }
    expect(weir.upstream.requests).toEqual([]);
  });

  it.each(['.INVALID_MANIFEST_NAME', '.tag', '-tag', 'ta+g', 'a'.repeat(129)])(
    'that can be no tag, %s, is 404 MANIFEST_UNKNOWN, and the upstream is not asked',
    async (reference) => {
      await using weir = await seeded();
      for (const method of ['GET', 'HEAD']) {
        const answer = await weir.ask(`${name}/manifests/${reference}`, { method });
        expect(answer.status).toBe(404);
        if (method === 'GET') expect(errorOf(answer).code).toBe('MANIFEST_UNKNOWN');
      }
      expect(weir.upstream.requests).toEqual([]);
    },
  );

  it.each(['a', '_', 'A.b-c_D', '1', `a${'.'.repeat(127)}`])('may be the tag %s', async (tag) => {
    await using weir = await seeded();
    weir.upstream.content.tag(name, tag, image.digest);
    expect((await weir.ask(`${name}/manifests/${tag}`)).sha256).toBe(image.digest);
  });
});

describe('a name', () => {
  it.each([
    'a',
    'a/b/c/d',
    'a/b.c/c_d/e__f/g---h',
    'manifests/blobs/tags',
    'x/manifests',
    'tags/list',
    'bartowski/Llama-3.2-1B-Instruct-GGUF',
    'llama.cpp/server',
    'a'.repeat(229),
  ])('may be %s', async (repository) => {
    await using weir = await WeirUnderTest.start();
    weir.upstream.content.add(repository, image, 'v1');
    expect((await weir.ask(`${repository}/manifests/v1`)).sha256).toBe(image.digest);
    expect((await weir.ask(`${repository}/tags/list`)).status).toBe(200);
  });

  it.each(['a..b', 'A..B', 'a___b', '-a', 'a-', 'a/-b', 'a%2Fb'])(
    'that does not match, %s, is 400 NAME_INVALID',
    async (repository) => {
      await using weir = await seeded();
      for (const path of ['manifests/v1', `blobs/${image.digest}`, 'tags/list', `referrers/${image.digest}`]) {
        const answer = await weir.ask(`${repository}/${path}`);
        expect([answer.status, errorOf(answer).code]).toEqual([400, 'NAME_INVALID']);
      }
      expect(weir.upstream.requests).toEqual([]);
    },
  );
});

describe('a manifest', () => {
  it('that exists is 200 with exactly its bytes, its type and its digest', async () => {
    await using weir = await seeded();
    const answer = await weir.ask(`${name}/manifests/image`);
    expect(answer.status).toBe(200);
    expect(answer.body.equals(image.bytes)).toBe(true);
    expect(answer.headers).toMatchObject({
      'content-type': image.mediaType,
      'content-length': String(image.bytes.length),
      'docker-content-digest': image.digest,
    });
  });

  it('that exists is 200 for HEAD, with the headers of GET and no body, cold and warm', async () => {
    await using weir = await seeded();
    const cold = await weir.ask(`${name}/manifests/image`, { method: 'HEAD' });
    const get = await weir.ask(`${name}/manifests/image`);
    const warm = await weir.ask(`${name}/manifests/image`, { method: 'HEAD' });
    for (const head of [cold, warm]) {
      expect([head.status, head.bytes]).toEqual([200, 0]);
      for (const header of ['content-type', 'content-length', 'docker-content-digest', 'etag']) {
        expect([header, head.headers[header]]).toEqual([header, get.headers[header]]);
        expect(head.headers[header]).toBeTypeOf('string');
      }
    }
  });

  it.each(['nope', digestOf('nope')])(
    'that does not exist, %s, is 404 MANIFEST_UNKNOWN, for HEAD too',
    async (missing) => {
      await using weir = await seeded();
      const answer = await weir.ask(`${name}/manifests/${missing}`);
      expect([answer.status, errorOf(answer).code]).toEqual([404, 'MANIFEST_UNKNOWN']);
      expect((await weir.ask(`${name}/manifests/${missing}`, { method: 'HEAD' })).status).toBe(404);
    },
  );

  it('of a repository that does not exist is 404 NAME_UNKNOWN, as are its blobs and tags', async () => {
    await using weir = await seeded();
    for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${image.blobs[0]?.digest}`, 'tags/list']) {
      const answer = await weir.ask(`no/such/${path}`);
      expect([path, answer.status, errorOf(answer).code]).toEqual([path, 404, 'NAME_UNKNOWN']);
    }
  });

  it('has a type without parameters, also where the upstream sends some', async () => {
    await using weir = await seeded();
    weir.upstream.on({ kind: 'manifest' }, headers({ 'Content-Type': `${image.mediaType}; charset=utf-8` }));
    for (const method of ['HEAD', 'GET', 'HEAD']) {
      expect((await weir.ask(`${name}/manifests/image`, { method })).headers['content-type']).toBe(image.mediaType);
    }
  });

  it('is the same whatever the client accepts', async () => {
    await using weir = await seeded();
    for (const accept of [undefined, '*/*', 'application/json', image.mediaType, index.mediaType, 'image/png']) {
      const answer = await weir.ask(`${name}/manifests/index`, {
        headers: accept === undefined ? {} : { Accept: accept },
      });
      expect([answer.status, answer.sha256]).toEqual([200, index.digest]);
    }
  });
});

describe('weir as the client of its upstream', () => {
  it('says which types it accepts', async () => {
    await using weir = await seeded();
    await weir.ask(`${name}/manifests/image`);
    const [asked] = weir.upstream.matching({ kind: 'manifest' });
    for (const type of [image.mediaType, index.mediaType, 'application/vnd.docker.distribution.manifest.v2+json']) {
      expect(asked?.headers['accept']).toContain(type);
    }
  });

  it('rejects a manifest whose own type is not that of its header', async () => {
    await using weir = await seeded();
    weir.upstream.on({ kind: 'manifest' }, headers({ 'Content-Type': index.mediaType }));
    const answer = await weir.ask(`${name}/manifests/image`);
    expect([answer.status, errorOf(answer).message]).toEqual([502, expect.stringContaining(image.mediaType)]);
  });

  it('rejects a manifest that does not match the digest asked for, or the one that its header names', async () => {
    for (const reference of [image.digest, 'image']) {
      await using weir = await seeded();
      weir.upstream.on({ kind: 'manifest' }, body(index.bytes));
      expect((await weir.ask(`${name}/manifests/${reference}`)).status).toBe(502);
      weir.upstream.clearRules();
      await using fresh = await seeded();
      expect((await fresh.ask(`${name}/manifests/${reference}`)).sha256).toBe(image.digest);
    }
  });

  it('depends on no header of Docker', async () => {
    await using weir = await seeded();
    const without = { 'Docker-Content-Digest': undefined, 'Docker-Distribution-API-Version': undefined };
    weir.upstream.on({}, headers({ ...without, ETag: undefined }));
    for (const method of ['HEAD', 'GET']) {
      const answer = await weir.ask(`${name}/manifests/image`, { method });
      expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, image.digest]);
    }
    expect((await weir.ask(`${name}/blobs/${image.blobs[1]?.digest}`)).sha256).toBe(image.blobs[1]?.digest);
  });
});
