import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { eventually } from '../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../support/leaks.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { answer, type Behaviour, body, cut, html, raw, stall } from '../support/upstream/behaviour.ts';
import { RegistryContent } from '../support/upstream/content.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo } from './support/clients.ts';

const name = repo('a/b');
const manifest = JSON.stringify({ schemaVersion: 2 });
const content = new RegistryContent();
content.addManifest(name, manifest, mediaTypes.ociManifest);
content.tag(name, 'v1', digestOf(manifest));
content.addBlob(name, 'hello world');
const digest = digestOf('hello world');
const question = { repository: name, digest };

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

/** A mirror and its origin, with the same content. */
async function pair(): Promise<{ mirror: ScriptedUpstream; origin: ScriptedUpstream; urls: URL[] } & AsyncDisposable> {
  const [mirror, origin] = [await ScriptedUpstream.start({ content }), await ScriptedUpstream.start({ content })];
  return {
    mirror,
    origin,
    urls: [new URL(mirror.url), new URL(origin.url)],
    async [Symbol.asyncDispose]() {
      await mirror[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

describe('endpoints', () => {
  it('are asked in order, and the second only when the first fails', async () => {
    await using servers = await pair();
    await using client = clientOf(servers.urls);
    const opened = await client.openBlob(question, never);
    await readAll(opened);
    expect(opened.endpoint).toBe(servers.mirror.url);
    expect(servers.origin.requests).toHaveLength(0);
  });

  const outages: readonly (readonly [string, Behaviour])[] = [
    ['500', answer(500)],
    ['503', answer(503)],
    ['429', answer(429)],
    ['garbage', raw('SSH-2.0-OpenSSH\r\n\r\n')],
    ['a reset', cut('before', 'rst')],
    ['a head that breaks off', cut('headers')],
    ['HTML', html()],
    ['a manifest that breaks off', cut(5)],
    ['a status that nobody asked for', answer(206)],
  ];
  it.each(outages)('go on after %s', async (_, behaviour) => {
    const recorded = recorder();
    await using servers = await pair();
    servers.mirror.on({}, behaviour);
    await using client = clientOf(servers.urls, { events: recorded.events });
    const { bytes } = await client.getManifest(name, ref('v1'), never);
    expect(String(Buffer.from(bytes))).toBe(manifest);
    expect(servers.mirror.requests).toHaveLength(1);
    expect(recorded.breaker).toEqual([]);
  });

  it('go on after one without the referrers API, and have none only if all of them say so', async () => {
    await using servers = await pair();
    const { mirror, origin } = servers;
    mirror.hasReferrersApi = false;
    await using client = clientOf(servers.urls);
    const page = await client.listReferrers(name, digest, {}, never);
    expect(String(Buffer.from(page.bytes))).toContain('"manifests":[]');
    origin.hasReferrersApi = false;
    expect((await failureOf(client.listReferrers(name, digest, {}, never))).kind).toBe('unsupported');
    for (const [silent, other] of [
      [mirror, origin],
      [origin, mirror],
    ] as const) {
      silent.on({}, answer(500));
      other.clearRules();
      expect((await failureOf(client.listReferrers(name, digest, {}, never))).kind).toBe('serverError');
    }
  });

  it('are not left alone because they refuse what a client asks, however often', async () => {
    const recorded = recorder();
    await using servers = await pair();
    await using client = clientOf(servers.urls, { events: recorded.events });
    for (const server of [servers.mirror, servers.origin]) server.on({ kind: 'manifest' }, answer(400));
    for (let i = 0; i < 5; i++) {
      expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe('badResponse');
    }
    expect(recorded.breaker).toEqual([]);
  });

  it.each([
    [404, 'notFound'],
    [403, 'denied'],
    [401, 'denied'],
  ])('do not go on after %i: that is an answer', async (status, kind) => {
    await using servers = await pair();
    servers.mirror.on({ kind: 'manifest' }, answer(status));
    await using client = clientOf(servers.urls);
    expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe(kind);
    expect(servers.origin.requests).toHaveLength(0);
  });

  it('that failed go last for half a minute', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    servers.mirror.on({}, answer(502));
    await using client = clientOf(servers.urls, { clock });
    for (let i = 0; i < 3; i++) await client.headManifest(name, ref('v1'), never);
    expect(servers.mirror.requests).toHaveLength(1);
    servers.mirror.clearRules();
    await clock.advance(30_000);
    await client.headManifest(name, ref('v1'), never);
    expect(servers.mirror.requests).toHaveLength(2);
    expect(servers.origin.requests).toHaveLength(3);
  });

  it('that answer again are asked first again', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    await using client = clientOf(servers.urls, { clock });
    servers.mirror.on({}, { times: 1 }, answer(502));
    await client.headManifest(name, ref('v1'), never);
    servers.origin.on({}, { times: 1 }, answer(502));
    await client.headManifest(name, ref('v1'), never);
    expect([servers.mirror.requests.length, servers.origin.requests.length]).toEqual([2, 2]);
    await client.headManifest(name, ref('v1'), never);
    expect([servers.mirror.requests.length, servers.origin.requests.length]).toEqual([3, 2]);
  });

  it('that are to be avoided are used when no other is left', async () => {
    await using servers = await pair();
    await using client = clientOf(servers.urls);
    const avoidEndpoints = new Set([servers.mirror.url]);
    const opened = await client.openBlob({ ...question, avoidEndpoints }, never);
    await readAll(opened);
    expect(opened.endpoint).toBe(servers.origin.url);
    await servers.origin.stop();
    const other = await client.openBlob({ ...question, avoidEndpoints }, never);
    await readAll(other);
    expect(other.endpoint).toBe(servers.mirror.url);
  });

  it('get 8 s for a head each, and the second its turn', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    servers.mirror.on({}, stall('before'));
    await using client = clientOf(servers.urls, { clock });
    const answered = client.getManifest(name, ref('v1'), never);
    await servers.mirror.received();
    await clock.advance(7999);
    expect(servers.origin.requests).toHaveLength(0);
    await clock.advance(1);
    expect((await answered).digest).toBe(digestOf(manifest));
  });

  it('get 20 s in all, whatever the redirects and bodies take', async () => {
    const clock = new FakeClock();
    const recorded = recorder();
    await using servers = await pair();
    servers.mirror.on({}, stall(3));
    servers.origin.on({}, stall(3));
    await using client = clientOf(servers.urls, { clock, events: recorded.events });
    const failed = failureOf(client.getManifest(name, ref('v1'), never));
    await servers.mirror.received();
    await clock.advance(12_000);
    await servers.origin.received();
    await clock.advance(8000);
    expect(await failed).toMatchObject({ kind: 'timeout', upstream: 'test' });
    expect(clock.monotonic()).toBe(20_000);
    expect(recorded.breaker).toEqual([true]);
  });

  it('a blob may take longer than that once its head is there', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    const gate = servers.mirror.gate('body');
    servers.mirror.on({}, { points: [{ at: 3, action: gate }] });
    await using client = clientOf(servers.urls, { clock });
    const reading = readAll(await client.openBlob(question, never));
    await gate.arrived();
    await clock.advance(50_000);
    gate.open();
    expect(String(await reading)).toBe('hello world');
    expect(clock.pending).toBe(0);
  });

  it('a body that says nothing for a minute is a timeout, which is no news for the breaker', async () => {
    const clock = new FakeClock();
    const recorded = recorder();
    await using servers = await pair();
    servers.mirror.on({}, stall(3));
    await using client = clientOf(servers.urls, { clock, events: recorded.events });
    const opened = await client.openBlob(question, never);
    const failed = failureOf(readAll(opened));
    await eventually(() => recorded.bytes === 3);
    await clock.advance(60_000);
    expect(await failed).toMatchObject({ kind: 'timeout' });
    expect(recorded.breaker).toEqual([]);
  });

  it('all down: the last failure is told, the breaker opens, and nobody is asked until a probe is due', async () => {
    const clock = new FakeClock();
    const recorded = recorder();
    await using servers = await pair();
    await servers.mirror.stop();
    await servers.origin.stop();
    await using client = clientOf(servers.urls, { clock, events: recorded.events });
    expect((await failureOf(client.headManifest(name, ref('v1'), never))).kind).toBe('unreachable');
    expect(recorded.requests.map(({ status }) => status)).toEqual(['error', 'error']);
    expect((await failureOf(client.headManifest(name, ref('v1'), never))).kind).toBe('breakerOpen');
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('breakerOpen');
    await servers.origin.listen();
    await clock.advance(6000);
    expect((await client.headManifest(name, ref('v1'), never)).digest).toBe(digestOf(manifest));
    expect(recorded.breaker).toEqual([true, false]);
  });

  it('three 5xx in a row open the breaker, one does not', async () => {
    const recorded = recorder();
    await using upstream = await ScriptedUpstream.start({ content });
    upstream.on({}, { times: 5, skip: 0 }, answer(503));
    await using client = clientOf(new URL(upstream.url), { events: recorded.events });
    const kinds = [];
    for (let i = 0; i < 4; i++) kinds.push((await failureOf(client.headManifest(name, ref('v1'), never))).kind);
    expect(kinds).toEqual(['serverError', 'serverError', 'serverError', 'breakerOpen']);
    expect(recorded.breaker).toEqual([true]);
  });

  it('a probe that brings something unusable is an answer, one that is given up is none', async () => {
    const clock = new FakeClock();
    const recorded = recorder();
    await using upstream = await ScriptedUpstream.start({ content });
    await using client = clientOf(new URL(upstream.url), { clock, events: recorded.events });
    upstream.on({}, { times: 1 }, answer(429));
    expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe('rateLimited');
    await clock.advance(6000);
    upstream.on({}, { times: 1 }, stall('before'));
    const control = new AbortController();
    const given = failureOf(client.getManifest(name, ref('v1'), control.signal));
    await upstream.received({}, 2);
    control.abort();
    expect((await given).kind).toBe('aborted');
    expect(recorded.breaker).toEqual([true]);
    upstream.on({}, { times: 1 }, body(Buffer.alloc(4 * 1024 * 1024 + 1)));
    expect((await failureOf(client.getManifest(name, ref('v1'), never))).kind).toBe('tooLarge');
    expect(recorded.breaker).toEqual([true, false]);
  });

  it('nobody waits for a transfer to end when there is nothing to be asked', async () => {
    await using upstream = await ScriptedUpstream.start({ content });
    await using client = clientOf(new URL(upstream.url), { connections: 1 });
    const first = await client.openBlob(question, never);
    upstream.on({ kind: 'manifest' }, answer(429));
    await failureOf(client.getManifest(name, ref('v1'), never));
    expect((await failureOf(client.openBlob(question, never))).kind).toBe('breakerOpen');
    first.abort();
  });
});
