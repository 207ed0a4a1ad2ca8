import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { credentialIdentity, type CredentialSource } from '../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../src/lib/secret.ts';
import type { ListingPage, Upstream } from '../../src/upstream/contract/upstream.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { eventually } from '../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../support/leaks.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { TokenIssuer } from '../support/upstream/auth.ts';
import { answer, body, framing, headers, hold, redirect, stall } from '../support/upstream/behaviour.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo, someDigest } from './support/clients.ts';
import { type Handler, serve, type TestServer } from './support/servers.ts';

const manifest = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: {}, layers: [] });
const manifestDigest = digestOf(manifest);
const content = Buffer.from('hello world');

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

/** A plain anonymous registry with one manifest and one blob. */
function plain(request: Parameters<Handler>[0], response: ServerResponse): void {
  if (request.url === `/v2/a/b/manifests/v1` || request.url === `/v2/a/b/manifests/${manifestDigest}`) {
    response.writeHead(200, {
      'Content-Type': `${mediaTypes.ociManifest}; charset=utf-8`,
      'Content-Length': manifest.length,
      'Docker-Content-Digest': manifestDigest,
    });
    response.end(manifest);
  } else if (request.url === `/v2/a/b/blobs/${someDigest}`) {
    sendRange(request.headers.range, content, response);
  } else {
    response.writeHead(404, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message: 'no' }] }));
  }
}

function sendRange(range: string | undefined, bytes: Buffer, response: ServerResponse): void {
  const [, first, last] = /^bytes=([0-9]*)-([0-9]*)$/.exec(range ?? '') ?? [];
  if (first === undefined || last === undefined) {
    response.writeHead(200, { 'Content-Length': bytes.length }).end(bytes);
    return;
  }
  const start = first === '' ? Math.max(0, bytes.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? bytes.length : Math.min(bytes.length, Number(last) + 1);
  response.writeHead(206, {
    'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}`,
    'Content-Length': end - start,
  });
  response.end(bytes.subarray(start, end));
}

async function withPlain(test: (server: TestServer) => Promise<void>): Promise<void> {
  await using server = await serve(plain);
  await test(server);
}

describe('registry client', () => {
  it('gets a manifest as it is, with what the headers say', () =>
    withPlain(async (server) => {
      await using client = clientOf(server.url);
      const got = await client.getManifest(repo('a/b'), ref('v1'), never);
      expect(Buffer.from(got.bytes).toString()).toBe(manifest);
      expect(got).toMatchObject({
        digest: manifestDigest,
        mediaType: mediaTypes.ociManifest,
        sizeBytes: manifest.length,
      });
      expect(server.seen[0]?.headers).toMatchObject({ 'accept-encoding': 'identity' });
      for (const type of ['ociManifest', 'ociIndex', 'dockerManifest', 'dockerList'] as const) {
        expect(server.seen[0]?.headers.accept).toContain(mediaTypes[type]);
      }
    }));

  it('asks for the head of a manifest without its body', () =>
    withPlain(async (server) => {
      await using client = clientOf(server.url);
      const head = await client.headManifest(repo('a/b'), ref(manifestDigest), never);
      expect(head).toEqual({
        digest: manifestDigest,
        mediaType: mediaTypes.ociManifest,
        sizeBytes: manifest.length,
      });
      expect(server.seen.map(({ method }) => method)).toEqual(['HEAD']);
    }));

  it('opens a blob, the whole and parts of it', () =>
    withPlain(async (server) => {
      const recorded = recorder();
      await using client = clientOf(server.url, { events: recorded.events });
      const question = { repository: repo('a/b'), digest: someDigest };
      const whole = await client.openBlob(question, never);
      expect(whole.answer).toEqual({ kind: 'whole', sizeBytes: 11 });
      expect(String(await readAll(whole))).toBe('hello world');
      const closed = await client.openBlob({ ...question, range: { kind: 'closed', start: 6, end: 9 } }, never);
      expect(closed.answer).toEqual({ kind: 'part', start: 6, end: 9, totalBytes: 11 });
      expect(String(await readAll(closed))).toBe('wor');
      const suffix = await client.openBlob({ ...question, range: { kind: 'suffix', suffixBytes: 3 } }, never);
      expect(suffix.answer).toEqual({ kind: 'part', start: 8, end: 11, totalBytes: 11 });
      expect(String(await readAll(suffix))).toBe('rld');
      expect(whole.endpoint).toBe(server.url.origin);
      expect(recorded.bytes).toBe(17);
      expect(recorded.requests.map(({ status }) => status)).toEqual([200, 206, 206]);
    }));

  it('says what the registry said about things that are not there', () =>
    withPlain(async (server) => {
      await using client = clientOf(server.url);
      const error = await failureOf(client.getManifest(repo('a/c'), ref('v1'), never));
      expect(error).toMatchObject({ kind: 'notFound', status: 404, code: 'NAME_UNKNOWN', upstream: 'test' });
    }));
});

describe('answers that are not the thing asked for', () => {
  const statuses = [201, 202, 203, 204, 205, 206, 300, 304, 305, 306, 402, 409, 418, 425, 600, 999];

  it.each(statuses)('status %i is a bad response to every question', async (status) => {
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', content);
    upstream.on({}, answer(status));
    const asking = [
      (client: Upstream) => client.getManifest(repo('a/b'), ref('v1'), never),
      (client: Upstream) => client.headManifest(repo('a/b'), ref('v1'), never),
      (client: Upstream) => client.openBlob({ repository: repo('a/b'), digest: someDigest }, never),
      (client: Upstream) => client.statBlob(repo('a/b'), someDigest, never),
      (client: Upstream) => client.listTags(repo('a/b'), {}, never),
      (client: Upstream) => client.listReferrers(repo('a/b'), someDigest, {}, never),
    ];
    for (const ask of asking) {
      await using client = clientOf(new URL(upstream.url));
      expect((await failureOf(ask(client))).kind).toBe('badResponse');
    }
    // A refused HEAD is asked again with GET.
    const isRefusal = status >= 400 && status < 500;
    expect(upstream.requests).toHaveLength(asking.length + (isRefusal ? 1 : 0));
  });

  it.each(['not a digest', 'sha256:\u00e9', 'sha256:zz:yy', 'sha256:ABC', `sha384:${'0'.repeat(96)}`])(
    'a digest that is malformed, or that we cannot verify (%s), is none',
    async (value) => {
      await using upstream = await ScriptedUpstream.start();
      upstream.on({}, headers({ 'Docker-Content-Digest': value }), body(manifest));
      await using client = clientOf(new URL(upstream.url));
      expect((await client.getManifest(repo('a/b'), ref('v1'), never)).digest).toBeUndefined();
    },
  );

  it.each(['length', 'chunked', 'close'] as const)('a manifest of more than 4 MiB is too large (%s)', async (how) => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({}, body(Buffer.alloc(4 * 1024 * 1024 + 1)), framing(how));
    await using client = clientOf(new URL(upstream.url));
    expect((await failureOf(client.getManifest(repo('a/b'), ref('v1'), never))).kind).toBe('tooLarge');
    if (how === 'length') expect(upstream.bytesSent()).toBeLessThan(5 * 1024 * 1024);
  });

  it('a manifest of exactly 4 MiB is not', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({}, body(Buffer.alloc(4 * 1024 * 1024)), framing('chunked'));
    await using client = clientOf(new URL(upstream.url));
    expect((await client.getManifest(repo('a/b'), ref('v1'), never)).sizeBytes).toBe(4 * 1024 * 1024);
  });

  it('an empty manifest is refused', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({}, body(''));
    await using client = clientOf(new URL(upstream.url));
    expect((await failureOf(client.getManifest(repo('a/b'), ref('v1'), never))).kind).toBe('badResponse');
  });

  it('error documents of any shape and size leave the status readable', async () => {
    const texts = ['', 'null', '[]', '{"errors":{}}', '{"errors":[null]}', '{"errors":[{"code":7}]}', '<html>'];
    await using upstream = await ScriptedUpstream.start();
    await using client = clientOf(new URL(upstream.url));
    for (const text of [...texts, 'x'.repeat(1_000_000), '{"errors":[{"code":"<script>"}]}']) {
      upstream.on({}, answer(404, { body: text }));
      const error = await failureOf(client.getManifest(repo('a/b'), ref('v1'), never));
      expect(error).toMatchObject({ kind: 'notFound', status: 404, code: undefined });
      expect(error.message.length).toBeLessThan(200);
    }
  });
});

describe('listings', () => {
  async function tagged(): Promise<ScriptedUpstream> {
    const upstream = await ScriptedUpstream.start({ pageSize: 2 });
    upstream.content.addManifest('a/b', manifest, mediaTypes.ociManifest);
    for (const tag of ['a', 'b', 'c', 'd', 'e']) upstream.content.tag('a/b', tag, manifestDigest);
    return upstream;
  }
  const tagsOf = (page: ListingPage): unknown =>
    (JSON.parse(String(Buffer.from(page.bytes))) as { tags: unknown }).tags;

  it('go from page to page', async () => {
    await using upstream = await tagged();
    await using client = clientOf(new URL(upstream.url));
    const pages = [await client.listTags(repo('a/b'), {}, never)];
    for (let path = pages[0]?.next; path !== undefined; path = pages.at(-1)?.next) {
      pages.push(await client.listTags(repo('a/b'), { path }, never));
    }
    expect(pages.map(tagsOf)).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
    expect(pages[0]?.next).toMatch(/^\/v2\/a\/b\/tags\/list\?/);
    expect(pages[0]?.contentType).toContain('application/json');
  });

  it('begin where the client says', async () => {
    await using upstream = await tagged();
    await using client = clientOf(new URL(upstream.url));
    expect(tagsOf(await client.listTags(repo('a/b'), { n: 3, last: 'b' }, never))).toEqual(['c', 'd', 'e']);
    expect(tagsOf(await client.listTags(repo('a/b'), { n: 0 }, never))).toEqual([]);
    expect(upstream.requests.map(({ target }) => target)).toEqual([
      '/v2/a/b/tags/list?n=3&last=b',
      '/v2/a/b/tags/list?n=0',
    ]);
  });

  it.each([
    [
      'another origin, of which the query counts',
      '<http://thief.example/x?last=b>; rel="next"',
      '/v2/a/b/tags/list?last=b',
    ],
    ['another port', '<http://127.0.0.1:1/v2/a/b/tags/list?last=b>; rel="next"', '/v2/a/b/tags/list?last=b'],
    ['another scheme', '<https://127.0.0.1/v2/a/b/tags/list?last=b>; rel="next"', '/v2/a/b/tags/list?last=b'],
    ['no query', '</v2/a/b/tags/list>; rel="next"', undefined],
    ['no URL', '<http://[>; rel="next"', undefined],
    ['nothing', '<', undefined],
    ['another relation', '</v2/a/b/tags/list?last=b>; rel="prev"', undefined],
    ['another path, of which the query counts', '</other?last=b>; rel="next"', '/v2/a/b/tags/list?last=b'],
    ['no path at all', '<?last=b>; rel="next"', '/v2/a/b/tags/list?last=b'],
  ])('a Link to %s', async (_, link, expected) => {
    await using upstream = await tagged();
    upstream.on({}, headers({ Link: link }));
    await using client = clientOf(new URL(upstream.url));
    expect((await client.listTags(repo('a/b'), {}, never)).next).toBe(expected);
  });

  it.each(['</v2/a/b/referrers/x>; rel="next"', '<http://[>; rel="next"', '<', `<${'x'.repeat(17_000)}>; rel="next"`])(
    'of referrers are refused when their Link leads nowhere: %s',
    async (link) => {
      await using upstream = await tagged();
      upstream.on({}, headers({ Link: link }));
      const clock = new FakeClock();
      await using client = clientOf(new URL(upstream.url), { clock });
      expect((await failureOf(client.listReferrers(repo('a/b'), someDigest, {}, never))).kind).toBe('badResponse');
      upstream.on({}, headers({ Link: '</v2/>; rel="start"' }));
      await clock.advance(5000);
      expect((await client.listReferrers(repo('a/b'), someDigest, {}, never)).next).toBeUndefined();
    },
  );

  it('behind a redirect, the next page is asked for where the first was', async () => {
    await using target = await tagged();
    await using upstream = await ScriptedUpstream.start();
    upstream.on(
      {},
      redirect(({ query }) => `${target.url}/v2/a/b/tags/list?${query.toString()}`),
    );
    await using client = clientOf(new URL(upstream.url));
    const first = await client.listTags(repo('pause'), {}, never);
    expect(first.next).toMatch(/^\/v2\/pause\/tags\/list\?/);
    expect(tagsOf(await client.listTags(repo('pause'), { path: first.next ?? '' }, never))).toEqual(['c', 'd']);
  });

  it('never go on in another list than the one they began in', async () => {
    await using upstream = await tagged();
    await using client = clientOf(new URL(upstream.url));
    for (const path of [
      '/v2/secret/tags/list',
      '/v2/a/b/tags/list/../x',
      'http://thief.example/',
      '//thief.example/',
    ]) {
      expect((await failureOf(client.listTags(repo('a/b'), { path }, never))).kind).toBe('notFound');
    }
    expect(upstream.requests).toHaveLength(0);
  });

  it('of more than 8 MiB are too large', async () => {
    await using upstream = await tagged();
    upstream.on({}, body(Buffer.alloc(8 * 1024 * 1024 + 1, ' ')), framing('chunked'));
    await using client = clientOf(new URL(upstream.url));
    expect((await failureOf(client.listTags(repo('a/b'), {}, never))).kind).toBe('tooLarge');
  });

  it('of referrers tell their type and what was filtered', async () => {
    await using upstream = await tagged();
    upstream.on({}, headers({ 'OCI-Filters-Applied': 'artifactType' }));
    await using client = clientOf(new URL(upstream.url));
    const page = await client.listReferrers(repo('a/b'), manifestDigest, {}, never);
    expect(page).toMatchObject({ contentType: mediaTypes.ociIndex, next: undefined });
    expect(upstream.requests[0]?.headers['accept']).toBe(mediaTypes.ociIndex);
  });
});

describe('rights and limits', () => {
  async function withPrivate(): Promise<ScriptedUpstream> {
    const issuer = new TokenIssuer({ users: { me: 'secret' }, privateRepositories: ['a/private'] });
    const upstream = await ScriptedUpstream.start({ auth: { kind: 'bearer', issuer } });
    for (const name of ['a/b', 'a/private']) {
      upstream.content.addManifest(name, manifest, mediaTypes.ociManifest);
      upstream.content.tag(name, 'v1', manifestDigest);
      upstream.content.addBlob(name, content);
    }
    return upstream;
  }
  const credentials: CredentialSource = {
    get: () =>
      Promise.resolve({
        kind: 'basic',
        name: 'test',
        identity: credentialIdentity('me'),
        username: 'me',
        password: new Secret('secret'),
      }),
    refused: () => undefined,
    mayAnswer: () => true,
    isAt: (place) => place === 'basic me',
  };

  it('says of each answer what was shown for it', async () => {
    await using upstream = await withPrivate();
    await using client = clientOf(new URL(upstream.url), { credentials });
    expect(client.hasCredential).toBe(true);
    expect([client.isAt('basic me'), client.isAt('basic you')]).toEqual([true, false]);
    await using stranger = clientOf(new URL(upstream.url));
    expect((await stranger.headManifest(repo('a/b'), ref('v1'), never)).shown).toBeUndefined();
    expect((await client.headManifest(repo('a/b'), ref('v1'), never)).shown).toBe('basic me');
    expect((await client.headManifest(repo('a/private'), ref('v1'), never)).shown).toBe('basic me');
    expect((await client.getManifest(repo('a/private'), ref('v1'), never)).shown).toBe('basic me');
    expect((await client.statBlob(repo('a/private'), someDigest, never)).shown).toBe('basic me');
  });

  it('has no credential where none is configured', async () => {
    await using client = clientOf(new URL('http://127.0.0.1:1'));
    expect(client.hasCredential).toBe(false);
  });

  it('a denied repository is an answer and no reason to stop asking', async () => {
    const recorded = recorder();
    await using upstream = await withPrivate();
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    for (let i = 0; i < 5; i++) {
      expect((await failureOf(client.getManifest(repo('a/private'), ref('v1'), never))).kind).toBe('denied');
    }
    expect(recorded.breaker).toEqual([]);
  });

  it('a refused credential is an outage', async () => {
    const recorded = recorder();
    await using upstream = await ScriptedUpstream.start({ auth: { kind: 'basic', users: { me: 'other' } } });
    await using client = clientOf(new URL(upstream.url), { credentials, events: recorded.events });
    expect((await failureOf(client.getManifest(repo('a/b'), ref('v1'), never))).kind).toBe('credentialRefused');
    expect(recorded.breaker).toEqual([]);
  });

  it('blob transfers are capped and served in turn, manifests have a lane of their own', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', content);
    upstream.content.addManifest('a/b', manifest, mediaTypes.ociManifest);
    const gate = upstream.gate('bodies');
    upstream.on({ kind: 'blob', method: 'GET' }, hold(1, gate));
    await using client = clientOf(new URL(upstream.url), { connections: 2 });
    const question = { repository: repo('a/b'), digest: someDigest };
    const reading = Array.from({ length: 5 }, async () =>
      String(await readAll(await client.openBlob(question, never))),
    );
    await gate.arrived(2);
    await client.getManifest(repo('a/b'), ref(manifestDigest), never);
    await client.statBlob(repo('a/b'), someDigest, never);
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(2);
    gate.release(1);
    await gate.arrived(3);
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(3);
    gate.open();
    expect(await Promise.all(reading)).toEqual(Array.from({ length: 5 }, () => 'hello world'));
  });

  it('a spare transfer takes no place that another could want, and does not wait for one', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', content);
    await using client = clientOf(new URL(upstream.url), { connections: 2 });
    await using paced = clientOf(new URL(upstream.url), { bandwidth: 1_000_000 });
    const question = { repository: repo('a/b'), digest: someDigest };
    const spare = { ...question, isOpportunistic: true };
    const first = await client.openBlob(question, never);
    const second = await client.openBlob(spare, never);
    expect(await failureOf(client.openBlob(spare, never))).toMatchObject({ kind: 'rateLimited', status: undefined });
    second.abort();
    expect(String(await readAll(await client.openBlob(spare, never)))).toBe('hello world');
    first.abort();
    // What is held back by weir itself comes no faster over two.
    expect((await failureOf(paced.openBlob(spare, never))).kind).toBe('rateLimited');
    expect(upstream.count({ kind: 'blob' })).toBe(3);
  });

  it('a spare transfer that is refused is held against nobody', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', content);
    await using client = clientOf(new URL(upstream.url));
    const question = { repository: repo('a/b'), digest: someDigest };
    const spare = { ...question, isOpportunistic: true };
    upstream.on({ kind: 'blob' }, { times: 1 }, answer(429));
    expect(await failureOf(client.openBlob(spare, never))).toMatchObject({ kind: 'rateLimited', status: 429 });
    expect(String(await readAll(await client.openBlob(question, never)))).toBe('hello world');
    upstream.on({ kind: 'blob' }, { times: 1 }, answer(500));
    expect((await failureOf(client.openBlob(spare, never))).kind).toBe('serverError');
    expect(String(await readAll(await client.openBlob(question, never)))).toBe('hello world');
    expect(upstream.count({ kind: 'blob' })).toBe(4);
  });

  it('a place among the transfers is given back by abort, by failure, and by giving up the wait', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', content);
    await using client = clientOf(new URL(upstream.url), { connections: 1 });
    const question = { repository: repo('a/b'), digest: someDigest };
    const first = await client.openBlob(question, never);
    const control = new AbortController();
    const waiting = failureOf(client.openBlob(question, control.signal));
    control.abort();
    expect((await waiting).kind).toBe('aborted');
    first.abort();
    first.abort();
    upstream.on({ kind: 'blob' }, { times: 1 }, answer(404));
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('notFound');
    const left = await client.openBlob(question, never);
    for await (const _ of left.chunks) break;
    expect(String(await readAll(await client.openBlob(question, never)))).toBe('hello world');
  });

  it('transfers share the bandwidth of their upstream', async () => {
    const bytes = Buffer.alloc(500_000);
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', bytes);
    await using client = clientOf(new URL(upstream.url), { bandwidth: 2_000_000 });
    const question = { repository: repo('a/b'), digest: digestOf(bytes) };
    const startMs = performance.now();
    const all = await Promise.all([1, 2].map(async () => readAll(await client.openBlob(question, never))));
    expect(all.map((read) => read.equals(bytes))).toEqual([true, true]);
    // Half a second for a million bytes; the last chunks need not be paid for.
    expect(performance.now() - startMs).toBeGreaterThan(350);
  });

  it('a transfer that waits for its share ends with its signal and with abort', async () => {
    const clock = new FakeClock();
    await using upstream = await ScriptedUpstream.start();
    upstream.content.addBlob('a/b', Buffer.alloc(1_000_000));
    await using client = clientOf(new URL(upstream.url), { clock, bandwidth: 1 });
    const question = { repository: repo('a/b'), digest: digestOf(Buffer.alloc(1_000_000)) };
    for (const how of ['signal', 'abort'] as const) {
      const control = new AbortController();
      const body = await client.openBlob(question, control.signal);
      const failed = failureOf(readAll(body));
      await eventually(() => clock.pending > 1);
      if (how === 'signal') control.abort();
      else body.abort();
      expect((await failed).kind).toBe('aborted');
    }
    expect(clock.pending).toBe(0);
  });

  it('offline dials nobody', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using client = clientOf(new URL(upstream.url), { isOffline: true });
    expect((await failureOf(client.getManifest(repo('a/b'), ref('v1'), never))).kind).toBe('offline');
    const question = { repository: repo('a/b'), digest: someDigest };
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('offline');
    expect(upstream.connections).toBe(0);
  });

  it('a caller that gives up is told so, and the breaker learns nothing', async () => {
    const recorded = recorder();
    await using upstream = await ScriptedUpstream.start();
    upstream.on({}, stall('before'));
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    for (let i = 0; i < 4; i++) {
      const control = new AbortController();
      const failed = failureOf(client.getManifest(repo('a/b'), ref('v1'), control.signal));
      await upstream.received({}, i + 1);
      control.abort();
      expect((await failed).kind).toBe('aborted');
    }
    expect(recorded.breaker).toEqual([]);
  });
});
