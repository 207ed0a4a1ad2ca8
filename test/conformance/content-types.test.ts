/** Whatever a registry holds passes byte for byte, with the same headers (distribution-spec 1.1.1, "Pulling manifests", "Pushing Manifests"). */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { allManifests, buildImage, buildIndex } from '../support/image-builder.ts';
import { type RawResponse, rawFetch } from '../support/raw-client.ts';
import { encode, framing, headers } from '../support/upstream/behaviour.ts';
import { forms } from './support/forms.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const limitBytes = 4 * 1024 * 1024;

/** What a client sees: status, the headers that describe the content, and the content. */
function seen({ status, headers: given, body }: RawResponse): readonly unknown[] {
  const described = ['content-type', 'content-length', 'docker-content-digest', 'etag'].map((header) => given[header]);
  return [status, ...described, digestOf(body)];
}

/** The same through weir as at the upstream: HEAD and GET, cold and warm, each cold once. */
async function expectSame(weir: WeirUnderTest, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    for (const method of ['HEAD', 'GET', 'GET', 'HEAD']) {
      const direct = await rawFetch(`${weir.upstream.url}/v2/${path}`, { method });
      const through = await weir.ask(path, { method });
      expect([method, path, ...seen(through)]).toEqual([method, path, ...seen(direct)]);
      expect(direct.status).toBe(200);
    }
  }
}

/** A manifest of exactly this size. */
function manifestOf(sizeBytes: number): Buffer {
  const text = (fill: string): string =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: {},
      layers: [],
      annotations: { fill },
    });
  return Buffer.from(text('x'.repeat(sizeBytes - text('').length)));
}

/** What a JWS in JSON signs: the document up to where its signatures were put in, and what came after that. */
function payloadOf(signed: string): Buffer {
  const { signatures } = JSON.parse(signed) as { signatures: { protected: string }[] };
  const text = Buffer.from(signatures[0]?.protected ?? '', 'base64url').toString();
  const { formatLength, formatTail } = JSON.parse(text) as { formatLength: number; formatTail: string };
  return Buffer.concat([Buffer.from(signed).subarray(0, formatLength), Buffer.from(formatTail, 'base64url')]);
}

describe('a manifest', () => {
  it.each(forms)('$name passes as it is, by tag and by digest', async ({ contentType, bytes }) => {
    for (const isTagFirst of [true, false]) {
      await using weir = await WeirUnderTest.start();
      const digest = weir.upstream.content.addManifest(name, bytes, contentType);
      weir.upstream.content.tag(name, 'v1', digest);
      const paths = [`${name}/manifests/v1`, `${name}/manifests/${digest}`];
      await expectSame(weir, isTagFirst ? paths : paths.toReversed());
    }
  });

  it('with a sha512 digest passes as it is, by digest and by tag, with everything below it', async () => {
    const images = ['a', 'b'].map((seed) => buildImage({ seed, algorithm: 'sha512', layers: [1000] }));
    for (const root of [...images, buildIndex(images)]) {
      await using weir = await WeirUnderTest.start();
      weir.upstream.content.add(name, root, 'v1');
      const below = allManifests(root).flatMap(({ digest, blobs }) => [
        `manifests/${digest}`,
        ...blobs.map((blob) => `blobs/${blob.digest}`),
      ]);
      await expectSame(
        weir,
        ['manifests/v1', ...below].map((path) => `${name}/${path}`),
      );
    }
  });

  it('that the upstream names by another algorithm than was asked for is given under the digest that was', async () => {
    await using weir = await WeirUnderTest.start();
    const { bytes, mediaType, digest } = buildImage({ seed: 'both' });
    weir.upstream.content.addManifest(name, bytes, mediaType);
    weir.upstream.on({ kind: 'manifest' }, headers({ 'Docker-Content-Digest': digestOf(bytes, 'sha512') }));
    const answer = await weir.ask(`${name}/manifests/${digest}`);
    expect([answer.status, answer.sha256, answer.headers['docker-content-digest']]).toEqual([200, digest, digest]);
  });

  it.each([
    ['application/json', mediaTypes.ociIndex, { manifests: [] }, mediaTypes.ociIndex],
    ['text/plain; charset=utf-8', mediaTypes.dockerManifest, { config: {} }, mediaTypes.dockerManifest],
    ['application/octet-stream', 'application/vnd.example+json', {}, 'application/vnd.example+json'],
    [undefined, mediaTypes.ociManifest, { layers: [] }, mediaTypes.ociManifest],
    ['application/json', undefined, { layers: [], config: {} }, mediaTypes.ociManifest],
    ['text/plain', undefined, { manifests: [] }, mediaTypes.ociIndex],
    ['application/json', undefined, { schemaVersion: 1, fsLayers: [] }, mediaTypes.dockerUnsigned],
  ])(
    'that arrives as %s and calls itself %s has the type that it can be told to have',
    async (sent, own, rest, expected) => {
      await using weir = await WeirUnderTest.start();
      const bytes = JSON.stringify({ schemaVersion: 2, mediaType: own, ...rest });
      weir.upstream.content.tag(name, 'v1', weir.upstream.content.addManifest(name, bytes, 'unused/type'));
      weir.upstream.on({ kind: 'manifest' }, headers({ 'Content-Type': sent }));
      for (const method of ['GET', 'HEAD']) {
        const answer = await weir.ask(`${name}/manifests/v1`, { method });
        expect([answer.status, answer.headers['content-type']]).toEqual([200, expected]);
      }
    },
  );

  it.each([
    ['a captive portal', '{"captive":"portal"}', 'application/json', 'no manifest by its type'],
    [
      'a metadata service',
      '{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S"}',
      'text/plain',
      'no manifest by',
    ],
    [
      'an image',
      JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }),
      'image/png',
      'the answer says image/png',
    ],
  ])('that is %s is no answer for a tag or digest, and nothing of it is kept', async (_, body, type, reason) => {
    await using weir = await WeirUnderTest.start();
    const image = buildImage({ seed: 'behind it' });
    weir.upstream.content.add(name, image, 'v1');
    const told = { 'Content-Type': type, 'Docker-Content-Digest': digestOf(body) };
    weir.upstream.on({ kind: 'manifest' }, headers(told), { status: 200, body });
    for (const method of ['HEAD', 'GET']) {
      for (const reference of ['v1', digestOf(body)]) {
        const refused = await weir.ask(`${name}/manifests/${reference}`, { method });
        expect([method, reference, refused.status]).toEqual([method, reference, 502]);
        if (method === 'GET') expect(errorOf(refused).message).toContain(reason);
      }
    }
    weir.upstream.clearRules();
    const answer = await weir.ask(`${name}/manifests/v1`);
    expect([answer.status, answer.sha256]).toEqual([200, image.digest]);
    expect((await weir.ask(`${name}/manifests/${digestOf(body)}`)).status).toBe(404);
  });

  it('of schema 1 whose digest leaves its signatures out is refused to HEAD as to GET, and both say why', async () => {
    await using weir = await WeirUnderTest.start();
    // What distribution 2.8 gave for one image that skopeo had pushed to it (`--format v2s1`): it signs each answer anew.
    const text = await readFile(new URL('support/signed-schema1.json', import.meta.url), 'utf8');
    const answers = JSON.parse(text) as string[];
    const digests = answers.map((signed) => digestOf(payloadOf(signed)));
    expect([answers.length, new Set(answers).size, new Set(digests).size]).toEqual([2, 2, 1]);
    const [digest = ''] = digests;
    const told = headers({ 'Content-Type': mediaTypes.dockerSigned, 'Docker-Content-Digest': digest });
    for (const body of answers) {
      weir.upstream.clearRules();
      weir.upstream.on({ kind: 'manifest' }, told, { status: 200, body });
      for (const reference of ['v1', digest]) {
        expect((await weir.ask(`${name}/manifests/${reference}`, { method: 'HEAD' })).status).toBe(502);
        const refused = await weir.ask(`${name}/manifests/${reference}`);
        expect([refused.status, errorOf(refused).message]).toEqual([502, expect.stringContaining('signed schema 1')]);
      }
    }
  });

  it('that HEAD did not find has for GET the code that the upstream gives', async () => {
    await using weir = await WeirUnderTest.start();
    weir.upstream.content.add(name, buildImage({ seed: 'code' }), 'v1');
    // So HEAD is known to be right.
    expect((await weir.ask(`${name}/manifests/v1`, { method: 'HEAD' })).status).toBe(200);
    for (const reference of ['v1', digestOf('absent')]) {
      expect((await weir.ask(`no/such/manifests/${reference}`, { method: 'HEAD' })).status).toBe(404);
      const refused = await weir.ask(`no/such/manifests/${reference}`);
      expect([refused.status, errorOf(refused).code]).toEqual([404, 'NAME_UNKNOWN']);
    }
  });

  it.each([1_000_000, 3_900_000, limitBytes - 1, limitBytes])('of %i bytes passes as it is', async (sizeBytes) => {
    await using weir = await WeirUnderTest.start();
    const bytes = manifestOf(sizeBytes);
    expect(bytes.length).toBe(sizeBytes);
    const digest = weir.upstream.content.addManifest(name, bytes, mediaTypes.ociManifest);
    weir.upstream.content.tag(name, 'v1', digest);
    await expectSame(weir, [`${name}/manifests/v1`, `${name}/manifests/${digest}`]);
  });

  it.each([['length'], ['chunked'], ['close']] as const)(
    'of 4 MiB and one byte is 502, and says why, with its framing by %s; others are not affected',
    async (how) => {
      await using weir = await WeirUnderTest.start();
      const { content } = weir.upstream;
      const digest = content.addManifest(name, manifestOf(limitBytes + 1), mediaTypes.ociManifest);
      content.tag(name, 'large', digest);
      content.add(name, buildImage({ seed: 'small' }), 'small');
      weir.upstream.on({ kind: 'manifest' }, framing(how));
      for (const reference of ['large', digest]) {
        const refused = await weir.ask(`${name}/manifests/${reference}`);
        expect([refused.status, errorOf(refused).code]).toEqual([502, 'UNKNOWN']);
        expect(errorOf(refused).message).toContain('the answer is too large');
        expect((await weir.ask(`${name}/manifests/small`)).status).toBe(200);
      }
    },
  );
});

describe('a blob', () => {
  it.each(['sha256', 'sha512'] as const)('named by %s passes as it is, whatever it holds', async (algorithm) => {
    await using weir = await WeirUnderTest.start();
    const contents = ['', '{}', '{"errors":[{"code":"DENIED"}]}', '<html>', randomBytesOf(100_000)];
    const digests = contents.map((content) =>
      weir.upstream.content.addBlob(name, content, digestOf(content, algorithm)),
    );
    await expectSame(
      weir,
      digests.map((digest) => `${name}/blobs/${digest}`),
    );
  });

  it.each([100, 300_000])('of %i bytes that arrives compressed is decoded by the second attempt', async (sizeBytes) => {
    await using weir = await WeirUnderTest.start();
    const digest = weir.upstream.content.addBlob(name, 'x'.repeat(sizeBytes));
    weir.upstream.on({ kind: 'blob' }, encode('gzip'));
    const first = await weir.ask(`${name}/blobs/${digest}`).catch(() => undefined);
    expect(first?.cleanEnd === true && first.status === 200).toBe(false);
    const answer = await weir.ask(`${name}/blobs/${digest}`);
    expect([answer.status, answer.sha256, answer.headers['content-encoding']]).toEqual([200, digest, undefined]);
  });

  it.each(['gzip', 'x-gzip', 'aws-chunked'])('that is labelled %s and is not passes at once', async (label) => {
    await using weir = await WeirUnderTest.start();
    const digest = weir.upstream.content.addBlob(name, randomBytesOf(300_000));
    weir.upstream.on({ kind: 'blob' }, headers({ 'Content-Encoding': label }));
    const answer = await weir.ask(`${name}/blobs/${digest}`);
    expect([answer.status, answer.sha256, answer.headers['content-encoding']]).toEqual([200, digest, undefined]);
  });
});
