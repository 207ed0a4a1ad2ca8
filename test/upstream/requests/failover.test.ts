import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { answer, type Behaviour, cut, hold, html, raw, stall } from '../../support/upstream/behaviour.ts';
import { RegistryContent } from '../../support/upstream/content.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo } from '../support/clients.ts';

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

  it('that failed at one question are asked others first, and that one again after 5 s', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    await using client = clientOf(servers.urls, { clock });
    await client.getManifest(name, ref('v1'), never);
    servers.mirror.on({ method: 'HEAD' }, { times: 1 }, answer(502));
    for (let i = 0; i < 3; i++) await client.headManifest(name, ref('v1'), never);
    expect(servers.mirror.count({ method: 'HEAD' })).toBe(1);
    await client.getManifest(name, ref('v1'), never);
    expect(servers.mirror.count({ method: 'GET' })).toBe(2);
    await clock.advance(5_000);
    await client.headManifest(name, ref('v1'), never);
    expect(servers.mirror.count({ method: 'HEAD' })).toBe(2);
    expect(servers.origin.requests).toHaveLength(3);
  });

  it('that are down are asked last, and first again once they have answered', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    await using client = clientOf(servers.urls, { clock });
    await servers.mirror.stop();
    for (let i = 0; i < 3; i++) await client.headManifest(name, ref('v1'), never);
    await servers.mirror.listen();
    await clock.advance(5_000);
    await servers.origin.stop();
    await client.headManifest(name, ref('v1'), never);
    expect([servers.mirror.looks.length, servers.mirror.requests.length]).toEqual([1, 1]);
    await servers.origin.listen();
    await client.headManifest(name, ref('v1'), never);
    expect(servers.mirror.requests).toHaveLength(2);
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

  it('that say nothing for 8 s get the next one beside them', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    servers.mirror.on({ kind: 'manifest' }, stall('before'));
    await using client = clientOf(servers.urls, { clock });
    const answered = client.getManifest(name, ref('v1'), never);
    await servers.mirror.received();
    await clock.advance(7999);
    expect(servers.origin.requests).toHaveLength(0);
    await clock.advance(1);
    expect((await answered).digest).toBe(digestOf(manifest));
    await eventually(() => servers.mirror.openConnections === 0);
  });

  it('beside a late one, a 404 counts only when the late one has failed', async () => {
    const clock = new FakeClock();
    await using servers = await pair();
    const gate = servers.mirror.gate('late');
    servers.mirror.on({ kind: 'manifest' }, hold('before', gate));
    servers.origin.on({ kind: 'manifest' }, answer(404));
    await using client = clientOf(servers.urls, { clock });
    const answered = client.getManifest(name, ref('v1'), never);
    await gate.arrived();
    await clock.advance(8_000);
    await servers.origin.received({ kind: 'manifest' });
    gate.open();
    expect((await answered).digest).toBe(digestOf(manifest));
    servers.mirror.on({ kind: 'manifest' }, stall('before'));
    const failed = failureOf(client.getManifest(name, ref('v1'), never));
    await servers.mirror.received({ kind: 'manifest' }, 2);
    await clock.advance(8_000);
    await servers.origin.received({ kind: 'manifest' }, 2);
    await clock.advance(52_000);
    expect((await failed).kind).toBe('notFound');
  });

  it('get 60 s in all, whatever the redirects and bodies take', async () => {
    const clock = new FakeClock();
    const recorded = recorder();
    await using servers = await pair();
    servers.mirror.on({}, stall(3));
    servers.origin.on({}, stall(3));
    await using client = clientOf(servers.urls, { clock, events: recorded.events });
    const failed = failureOf(client.getManifest(name, ref('v1'), never));
    await servers.mirror.received();
    await clock.advance(8_000);
    await servers.origin.received();
    await clock.advance(52_000);
    expect(await failed).toMatchObject({ kind: 'timeout', upstream: 'test' });
    expect(clock.monotonic()).toBe(60_000);
    expect(recorded.breaker).toEqual([]);
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

  it('a body that says nothing for a minute is a timeout, which says nothing about the upstream', async () => {
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

  it('all down: the failure is told, and nobody is asked until weir itself has looked', async () => {
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
});
