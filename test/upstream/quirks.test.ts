/** What registries in the wild do beside the specification, each by the name of the one that does it. */
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import {
  type Credential,
  credentialIdentity,
  type CredentialSource,
} from '../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../src/lib/secret.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../support/leaks.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { TokenIssuer } from '../support/upstream/auth.ts';
import { answer, body, encode, framing, headers, html, range, redirect } from '../support/upstream/behaviour.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo } from './support/clients.ts';

const content = 'hello world';
const digest = digestOf(content);
const manifest = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest });
const manifestDigest = digestOf(manifest);
const name = repo('a/b');
const question = { repository: name, digest };

const me: Credential = {
  kind: 'basic',
  name: 'test',
  identity: credentialIdentity('AWS'),
  username: 'AWS',
  password: new Secret('old'),
};

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

async function registry(options: Parameters<typeof ScriptedUpstream.start>[0] = {}): Promise<ScriptedUpstream> {
  const upstream = await ScriptedUpstream.start(options);
  upstream.content.addBlob(name, content);
  upstream.content.addManifest(name, manifest, mediaTypes.ociManifest);
  upstream.content.tag(name, 'v1', manifestDigest);
  return upstream;
}

const bearer = (issuer = new TokenIssuer()): Parameters<typeof ScriptedUpstream.start>[0] => ({
  auth: { kind: 'bearer', issuer },
});

describe('quirks', () => {
  it.each([401, 403])(
    'a firewall refuses ranges with %i: that is about the range, not about the blob',
    async (status) => {
      await using upstream = await registry();
      upstream.on({ kind: 'blob', ranged: true }, answer(status));
      await using client = clientOf(new URL(upstream.url));
      const asked = client.openBlob({ ...question, range: { kind: 'closed', start: 2, end: 5 } }, never);
      expect(await failureOf(asked)).toMatchObject({ kind: 'rangeRefused', status });
      const whole = await client.openBlob(question, never);
      expect((await readAll(whole)).toString()).toBe(content);
    },
  );

  it('a HEAD of a blob with a Content-Encoding tells no size', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'blob' }, encode('gzip'));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: undefined });
  });

  it.each(['GET', 'HEAD'])(
    'the login page that strangers are led to is no blob, when %s is what it takes',
    async (method) => {
      await using upstream = await registry();
      if (method === 'GET') upstream.on({ kind: 'blob', method: 'HEAD' }, answer(405));
      upstream.on({ kind: 'blob', method }, html());
      await using client = clientOf(new URL(upstream.url));
      expect(await failureOf(client.statBlob(name, digest, never))).toMatchObject({ kind: 'badResponse' });
    },
  );

  it('a blob that is a page itself, and named, is one', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'blob' }, headers({ 'Content-Type': 'text/html; charset=utf-8' }));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: content.length });
  });

  it('a type of manifest may be written in capitals', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'manifest' }, headers({ 'Content-Type': 'Application/VND.OCI.image.Manifest.v1+JSON' }));
    await using client = clientOf(new URL(upstream.url));
    for (const asked of [client.headManifest(name, ref('v1'), never), client.getManifest(name, ref('v1'), never)])
      expect(await asked).toMatchObject({ mediaType: mediaTypes.ociManifest });
  });

  it('Docker Hub tells how many pulls are left', async () => {
    const recorded = recorder();
    await using upstream = await registry();
    upstream.always = headers({ 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' });
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    await client.headManifest(name, ref('v1'), never);
    expect(recorded.remaining).toEqual([76]);
  });

  const nowSeconds = Math.floor(Date.now() / 1000);
  it.each([
    ['in seconds', '120', 120_000],
    ['as a date', new Date(Date.now() + 500_000).toUTCString(), 500_000],
    ['of six hours', '21600', 600_000],
    ['as a Unix time', String(nowSeconds + 100), 100_000],
    ['as a Unix time in milliseconds', `${nowSeconds + 100}000`, 100_000],
  ])('Docker Hub answers 429 with Retry-After %s', async (_, value, expectedMs) => {
    const recorded = recorder();
    await using upstream = await registry();
    const said = JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'You have reached your limit' }] });
    upstream.on({ kind: 'manifest', method: 'GET' }, answer(429, { body: said, headers: { 'Retry-After': value } }));
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    const error = await failureOf(client.getManifest(name, ref('v1'), never));
    expect(error).toMatchObject({ kind: 'rateLimited', status: 429, code: 'TOOMANYREQUESTS' });
    expect(Math.abs((error.retryAfterMs ?? -1) - expectedMs)).toBeLessThan(5000);
    // From now on no manifest is asked for by GET; HEAD, which is counted apart, and blobs are.
    const next = await failureOf(client.getManifest(name, ref('v2'), never));
    expect(next.kind).toBe('rateLimited');
    expect(Math.abs((next.retryAfterMs ?? -1) - expectedMs)).toBeLessThan(5000);
    expect(upstream.requests).toHaveLength(1);
    expect((await client.headManifest(name, ref('v1'), never)).digest).toBe(manifestDigest);
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
    expect(recorded.breaker).toEqual([]);
  });

  it.each(['99999999', undefined, 'soon', '0', String(nowSeconds - 10)])(
    'a limit with a Retry-After that says nothing (%s), or little, is waited out',
    async (value) => {
      await using upstream = await registry();
      upstream.on({ kind: 'manifest' }, { times: 1 }, answer(429, { headers: { 'Retry-After': value } }));
      await using client = clientOf(new URL(upstream.url));
      expect((await client.getManifest(name, ref('v1'), never)).digest).toBe(manifestDigest);
      expect(upstream.requests).toHaveLength(2);
    },
  );

  it('Docker Hub, GHCR, ECR and Azure redirect blobs to signed URLs that refuse authorization', async () => {
    await using upstream = await registry(bearer());
    await using storage = await ScriptedUpstream.start({ content: upstream.content });
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}?X-Amz-Signature=x`));
    await using client = clientOf(new URL(upstream.url));
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
  });

  it('GHCR challenges with a placeholder scope, and its storage refuses HEAD', async () => {
    const issuer = new TokenIssuer();
    await using upstream = await registry({
      auth: { kind: 'bearer', issuer, scope: 'repository:user/image:pull' },
    });
    await using storage = await ScriptedUpstream.start({ content: upstream.content });
    storage.on({ method: 'HEAD' }, answer(403));
    upstream.on({ kind: 'blob' }, redirect(`${storage.url}/cdn/${digest}`));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: content.length });
    expect(issuer.issued.map(({ scopes }) => scopes)).toEqual([['repository:a/b:pull']]);
    expect(storage.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  it('GHCR has no referrers API, and says so in its own way', async () => {
    await using upstream = await registry({ hasReferrersApi: false });
    await using client = clientOf(new URL(upstream.url));
    expect(await failureOf(client.listReferrers(name, digest, {}, never))).toMatchObject({
      kind: 'unsupported',
      status: 404,
    });
    upstream.on({ kind: 'referrers' }, answer(404, { body: '404 page not found\n' }));
    expect((await failureOf(client.listReferrers(name, digest, {}, never))).kind).toBe('unsupported');
    upstream.on({ kind: 'referrers' }, answer(404, { body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' }));
    expect((await failureOf(client.listReferrers(name, digest, {}, never))).kind).toBe('notFound');
  });

  it('Quay says TAG_EXPIRED for a tag that is gone', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'manifest' }, answer(404, { body: '{"errors":[{"code":"TAG_EXPIRED"}]}' }));
    await using client = clientOf(new URL(upstream.url));
    expect(await failureOf(client.getManifest(name, ref('v1'), never))).toMatchObject({
      kind: 'notFound',
      code: 'TAG_EXPIRED',
    });
  });

  it('ECR Public answers 401 to HEAD of a blob that it gives to GET', async () => {
    await using upstream = await registry(bearer());
    const refused = { kind: 'blob', method: 'HEAD' } as const;
    upstream.on(refused, { beforeAuth: true }, answer(401, { headers: { 'WWW-Authenticate': challengeOf(upstream) } }));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: content.length });
    const heads = upstream.count(refused);
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: content.length });
    // Learnt: the second time GET is asked at once.
    expect(upstream.count(refused)).toBe(heads);
    expect(upstream.matching({ kind: 'blob', method: 'GET' }).at(-1)?.headers['range']).toBe('bytes=0-0');
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
  });

  it('ECR says 403 when a token has expired, and takes the renewed one', async () => {
    let password = 'old';
    const source: CredentialSource = {
      get: () => Promise.resolve({ ...me, identity: credentialIdentity(password), password: new Secret(password) }),
      refused: () => void (password = 'new'),
      mayAnswer: () => true,
      isAt: (place) => place === 'basic me',
    };
    await using upstream = await registry({ auth: { kind: 'basic', users: { AWS: 'new' } } });
    const isOld = ({ headers: { authorization = '' } }: { headers: Readonly<Record<string, string>> }): boolean =>
      Buffer.from(authorization.replace('Basic ', ''), 'base64').toString() === 'AWS:old';
    const said = '{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate"}]}';
    upstream.on({ where: isOld }, { beforeAuth: true }, answer(403, { body: said }));
    await using client = clientOf(new URL(upstream.url), { credentials: source });
    expect((await client.getManifest(name, ref('v1'), never)).digest).toBe(manifestDigest);
  });

  it('Harbor answers 404 to HEAD of a blob that its proxy has not cached', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'blob', method: 'HEAD' }, answer(404));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: content.length });
    const missing = digestOf('missing');
    expect((await failureOf(client.statBlob(name, missing, never))).kind).toBe('notFound');
  });

  it('Harbor serves an HTML page with status 200 when its own upstream is wrong', async () => {
    const recorded = recorder();
    await using upstream = await registry();
    upstream.on({ kind: ['manifest', 'tags'] }, html());
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe('badResponse');
    expect((await failureOf(client.headManifest(name, ref('v1'), never))).kind).toBe('badResponse');
    expect(recorded.rejected).toEqual(['badResponse', 'badResponse']);
  });

  it('registry.access.redhat.com sends no digest, and a vague media type with parameters', async () => {
    await using upstream = await registry();
    upstream.always = headers({
      'Docker-Content-Digest': undefined,
      'Content-Type': 'text/plain; charset=utf-8',
    });
    await using client = clientOf(new URL(upstream.url));
    expect(await client.headManifest(name, ref('v1'), never)).toEqual({
      digest: undefined,
      mediaType: 'text/plain',
      sizeBytes: manifest.length,
    });
  });

  it.each(['aws-chunked', 'x-gzip', 'gzip', 'br'])('right bytes are right whatever %s says', async (label) => {
    await using upstream = await registry();
    upstream.on({ kind: ['blob', 'manifest'] }, headers({ 'Content-Encoding': label }));
    await using client = clientOf(new URL(upstream.url));
    for (let i = 0; i < 2; i++) {
      const body = await client.openBlob(question, never);
      expect(body.answer).toEqual({ kind: 'whole', sizeBytes: content.length });
      expect(String(await readAll(body))).toBe(content);
    }
    const part = await client.openBlob({ ...question, range: { kind: 'closed', start: 2, end: 5 } }, never);
    expect(String(await readAll(part))).toBe(content.slice(2, 5));
    expect(String((await client.getManifest(name, ref('v1'), never)).bytes)).toBe(String(manifest));
  });

  it('Quay compresses a config with gzip although nobody asked: the second attempt decodes', async () => {
    await using upstream = await registry();
    upstream.on({ kind: ['blob', 'manifest'] }, encode('gzip'));
    await using client = clientOf(new URL(upstream.url));
    const raw = await readAll(await client.openBlob(question, never));
    expect(String(gunzipSync(raw))).toBe(content);
    for (let i = 0; i < 2; i++) {
      const body = await client.openBlob(question, never);
      expect(body.answer).toEqual({ kind: 'whole', sizeBytes: undefined });
      expect(String(await readAll(body))).toBe(content);
    }
    const range = { kind: 'closed', start: 2, end: 5 } as const;
    expect((await failureOf(client.openBlob({ ...question, range }, never))).kind).toBe('rangeRefused');
    // No manifest begins as compressed bytes do.
    expect(String((await client.getManifest(name, ref('v1'), never)).bytes)).toBe(String(manifest));
    expect(await client.headManifest(name, ref('v1'), never)).toMatchObject({ sizeBytes: undefined });
    expect(upstream.requests.every((request) => request.headers['accept-encoding'] === 'identity')).toBe(true);
  });

  it('lists are compressed with gzip although nobody asked, and read', async () => {
    await using upstream = await registry();
    const list = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    upstream.on({ kind: 'referrers' }, body(list), headers({ 'Content-Type': mediaTypes.ociIndex }), encode('gzip'));
    await using client = clientOf(new URL(upstream.url));
    const page = await client.listReferrers(name, digest, {}, never);
    expect(Buffer.from(page.bytes).toString()).toBe(list);
  });

  it('lists keep the label of an upload, and are read as they are', async () => {
    await using upstream = await registry();
    const list = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    const label = headers({ 'Content-Type': mediaTypes.ociIndex, 'Content-Encoding': 'aws-chunked' });
    upstream.on({ kind: 'referrers' }, body(list), label);
    upstream.on({ kind: 'tags' }, headers({ 'Content-Encoding': 'aws-chunked' }));
    await using client = clientOf(new URL(upstream.url));
    expect(Buffer.from((await client.listReferrers(name, digest, {}, never)).bytes).toString()).toBe(list);
    expect(JSON.parse(Buffer.from((await client.listTags(name, {}, never)).bytes).toString())).toMatchObject({ name });
  });

  it('a body that is neither the blob nor what its label says is refused', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'blob' }, headers({ 'Content-Encoding': 'gzip' }), { body: 'something else' });
    upstream.on({ kind: 'manifest' }, headers({ 'Content-Encoding': 'gzip' }), { body: '\u001f\u008b' });
    await using client = clientOf(new URL(upstream.url));
    await readAll(await client.openBlob(question, never));
    const body = await client.openBlob(question, never);
    await expect(readAll(body)).rejects.toMatchObject({ kind: 'badResponse' });
  });

  it.each(['deadbeef'.repeat(8), `"sha256:${'0'.repeat(64)}"`, '', 'W/"5f1"', 'sha256:short'])(
    'a Docker-Content-Digest of %j counts as none, by tag and by digest, for HEAD and GET',
    async (told) => {
      await using upstream = await registry();
      upstream.on({ kind: 'manifest' }, headers({ 'Docker-Content-Digest': told }));
      await using client = clientOf(new URL(upstream.url));
      for (const reference of ['v1', digestOf(manifest)]) {
        expect(await client.headManifest(name, ref(reference), never)).toMatchObject({ digest: undefined });
        const got = await client.getManifest(name, ref(reference), never);
        expect([got.digest, String(got.bytes)]).toEqual([undefined, String(manifest)]);
      }
    },
  );

  it('Content-Encoding identity is what we asked for', async () => {
    await using upstream = await registry();
    upstream.always = headers({ 'Content-Encoding': 'identity' });
    await using client = clientOf(new URL(upstream.url));
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
  });

  it('distribution 2 refuses HEAD of manifests through some proxies: GET tells the same', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'manifest', method: 'HEAD' }, answer(405));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.headManifest(name, ref('v1'), never)).toEqual({
      digest: manifestDigest,
      mediaType: mediaTypes.ociManifest,
      sizeBytes: manifest.length,
    });
  });

  describe('HEAD of manifests', () => {
    const methodsOf = (upstream: ScriptedUpstream): string[] =>
      upstream.requests.filter(({ kind }) => kind === 'manifest').map(({ method }) => method);

    it.each([400, 401, 403, 404, 405, 500, 501])(
      'that answers %i is no word: GET decides, and is asked alone for an hour',
      async (status) => {
        const clock = new FakeClock();
        await using upstream = await registry();
        upstream.on({ kind: 'manifest', method: 'HEAD' }, answer(status));
        await using client = clientOf(new URL(upstream.url), { clock });
        for (let i = 0; i < 3; i++) {
          expect(await client.headManifest(name, ref('v1'), never)).toMatchObject({ digest: manifestDigest });
        }
        expect(methodsOf(upstream)).toEqual(['HEAD', 'GET', 'GET', 'GET']);
        await clock.advance(60 * 60_000);
        await client.headManifest(name, ref('v1'), never);
        expect(methodsOf(upstream).slice(4)).toEqual(['HEAD', 'GET']);
      },
    );

    it('that was right is believed about what was never had: a made-up name costs one question', async () => {
      await using upstream = await registry();
      await using client = clientOf(new URL(upstream.url));
      await client.headManifest(name, ref('v1'), never);
      for (const made of ['made', 'up']) {
        expect((await failureOf(client.headManifest(name, ref(made), never))).kind).toBe('notFound');
      }
      expect(methodsOf(upstream)).toEqual(['HEAD', 'HEAD', 'HEAD']);
    });

    it('that refuses what was had is checked by GET once, and so is the first refusal of all', async () => {
      await using upstream = await registry();
      await using client = clientOf(new URL(upstream.url));
      expect(await failureOf(client.headManifest(name, ref('made'), never))).toMatchObject({
        kind: 'notFound',
        // As GET has said it: HEAD says no code.
        code: 'MANIFEST_UNKNOWN',
      });
      await client.headManifest(name, ref('v1'), never);
      upstream.on({ kind: 'manifest' }, answer(404));
      for (let i = 0; i < 2; i++) {
        expect((await failureOf(client.headManifest(name, ref('v1'), never))).kind).toBe('notFound');
      }
      expect(methodsOf(upstream)).toEqual(['HEAD', 'GET', 'HEAD', 'HEAD', 'GET', 'HEAD']);
    });

    it('that a GET contradicts at once is not used any more, and one that a push makes obsolete is', async () => {
      const clock = new FakeClock();
      await using upstream = await registry();
      await using client = clientOf(new URL(upstream.url), { clock });
      await client.headManifest(name, ref('v1'), never);
      const digestV2 = upstream.content.addManifest(name, `${manifest} `, mediaTypes.ociManifest);
      await failureOf(client.headManifest(name, ref('v2'), never));
      upstream.content.tag(name, 'v2', digestV2);
      await clock.advance(6000);
      await client.getManifest(name, ref('v2'), never);
      await client.headManifest(name, ref('v1'), never);
      expect(methodsOf(upstream)).toEqual(['HEAD', 'HEAD', 'GET', 'HEAD']);
      upstream.on({ kind: 'manifest', method: 'HEAD' }, answer(404));
      await failureOf(client.headManifest(name, ref('v3'), never));
      upstream.content.tag(name, 'v3', digestV2);
      await client.getManifest(name, ref('v3'), never);
      await client.headManifest(name, ref('v1'), never);
      expect(methodsOf(upstream).slice(4)).toEqual(['HEAD', 'GET', 'GET']);
    });

    it('that fails once where it was right is checked by GET, and used again', async () => {
      await using upstream = await registry();
      await using client = clientOf(new URL(upstream.url));
      await client.headManifest(name, ref('v1'), never);
      upstream.on({ kind: 'manifest', method: 'HEAD' }, { times: 1 }, answer(500));
      for (let i = 0; i < 2; i++) await client.headManifest(name, ref('v1'), never);
      expect(methodsOf(upstream)).toEqual(['HEAD', 'HEAD', 'GET', 'HEAD']);
    });

    it('that is limited is a limit', async () => {
      await using upstream = await registry();
      upstream.on({ kind: 'manifest', method: 'HEAD' }, answer(429, { headers: { 'Retry-After': '60' } }));
      await using client = clientOf(new URL(upstream.url));
      expect((await failureOf(client.headManifest(name, ref('v1'), never))).kind).toBe('rateLimited');
      expect(methodsOf(upstream)).toEqual(['HEAD']);
    });
  });

  it('zot and GHCR answer 416 and 501 to ranges that they do not like: that is no word about the blob', async () => {
    await using upstream = await registry();
    await using client = clientOf(new URL(upstream.url));
    const asked = { ...question, range: { kind: 'closed', start: 2, end: 5 } } as const;
    for (const [how, expected] of [
      [416, 'rangeRefused'],
      [501, 'rangeRefused'],
      [400, 'rangeRefused'],
      [404, 'rangeRefused'],
      [403, 'rangeRefused'],
      [{ shift: 1 }, 'rangeRefused'],
      [{ total: '*' }, 'rangeRefused'],
    ] as const) {
      upstream.on({ kind: 'blob' }, range(how));
      expect([how, (await failureOf(client.openBlob(asked, never))).kind]).toEqual([how, expected]);
    }
    upstream.on({ kind: 'blob' }, range({ total: 12 }));
    const body = await client.openBlob(asked, never);
    expect(body.answer).toMatchObject({ kind: 'part', totalBytes: 12 });
    body.abort();
    // This one is, and yet the whole is asked for.
    upstream.on({ kind: 'blob' }, { times: 1 }, range(500));
    expect((await failureOf(client.openBlob(asked, never))).kind).toBe('serverError');
    expect(String(await readAll(await client.openBlob(question, never)))).toBe(content);
  });

  it('S3 ignores several ranges and some servers any: the whole comes, and says so', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'blob' }, range('ignore'));
    await using client = clientOf(new URL(upstream.url));
    const body = await client.openBlob({ ...question, range: { kind: 'suffix', suffixBytes: 3 } }, never);
    expect(body.answer).toEqual({ kind: 'whole', sizeBytes: content.length });
    expect(String(await readAll(body))).toBe(content);
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: content.length });
  });

  it('a server that gives no length to anything leaves sizes open', async () => {
    await using upstream = await registry();
    upstream.always = framing('chunked');
    upstream.on({ method: 'HEAD' }, answer(405));
    await using client = clientOf(new URL(upstream.url));
    const body = await client.openBlob(question, never);
    expect(body.answer).toEqual({ kind: 'whole', sizeBytes: undefined });
    expect(String(await readAll(body))).toBe(content);
    upstream.on({ kind: 'blob', method: 'GET' }, range('ignore'), framing('chunked'));
    expect(await client.statBlob(name, digest, never)).toEqual({ sizeBytes: undefined });
  });

  it('an empty blob has no first byte to give', async () => {
    await using upstream = await registry();
    const empty = upstream.content.addBlob(name, '');
    upstream.on({ method: 'HEAD' }, answer(405));
    await using client = clientOf(new URL(upstream.url));
    expect(await client.statBlob(name, digestOf(''), never)).toEqual({ sizeBytes: 0 });
    expect(empty).toBe(digestOf(''));
  });

  it('a server that refuses the first byte of a blob that has some contradicts itself', async () => {
    await using upstream = await registry();
    upstream.on({ method: 'HEAD' }, answer(405));
    upstream.on({ kind: 'blob', method: 'GET' }, range(416));
    await using client = clientOf(new URL(upstream.url));
    expect((await failureOf(client.statBlob(name, digest, never))).kind).toBe('badResponse');
  });

  it('GitLab, ECR and others refuse impossible names with 400: they do not have them', async () => {
    await using upstream = await registry();
    upstream.on({ kind: 'manifest' }, answer(400, { body: '{"errors":[{"code":"NAME_INVALID"}]}' }));
    await using client = clientOf(new URL(upstream.url));
    expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe('notFound');
    for (const body of ['bad request', '{"errors":[{"code":"MANIFEST_INVALID"}]}']) {
      upstream.on({ kind: 'manifest' }, answer(400, { body }));
      expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe('badResponse');
    }
  });

  it('an HTTP endpoint below a path is asked below that path (Artifactory)', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({ kind: 'other' }, (() => ({ status: 200, body: manifest }))());
    await using client = clientOf(new URL(`${upstream.url}/artifactory/api/docker/remote`));
    await client.getManifest(name, ref('v1'), never);
    expect(upstream.requests[0]?.target).toBe('/artifactory/api/docker/remote/v2/a/b/manifests/v1');
  });
});

function challengeOf(upstream: ScriptedUpstream): string {
  return `Bearer realm="${upstream.url}/token",service="public.ecr.aws",scope="repository:a/b:pull"`;
}
