/** Fills whose bytes never pass through the main thread: what reaches the disk, who decides, and what happens when it breaks. */
import { open, rename, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fill } from '../../../src/fill/fill.ts';
import { Attempt } from '../../../src/fill/attempt/attempt.ts';
import { DownloadWorkers } from '../../../src/fill/worker/pool.ts';
import type { Ingest } from '../../../src/store/contract/blob-store.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { Semaphore } from '../../../src/lib/semaphore.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { randomBytesOf } from '../../support/byte-source.ts';
import { eventually } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { tempDirectory } from '../../support/temp.ts';
import { cut, hold, redirect, stall } from '../../support/upstream/behaviour.ts';
import type { Engine } from '../support/engine.ts';
import { Threaded, writersOf } from '../support/threaded.ts';

const mib = 1024 * 1024;
const content = randomBytesOf(9 * mib + 12_345, 'threads');

function put(registry: ScriptedUpstream, bytes: Uint8Array = content, name = digestOf(bytes)): Digest {
  registry.content.addBlob('a/b', bytes, name);
  return name;
}

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

describe('a file that is proved again on a download worker', () => {
  it('is not proved by another one that has taken its name', async () => {
    await using temp = await tempDirectory('renamed');
    const path = temp.file('blob');
    await writeFile(path, randomBytesOf(content.length, 'damaged'));
    await using handle = await open(path);
    // As a fill through another upstream does, or rsync.
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
    const workers = new DownloadWorkers(silentLogger, 1);
    const attempt = new Attempt({
      digest: digestOf(content),
      ingest: {
        isStored: true,
        path,
        resumed: [{ start: 0, end: content.length }],
        claimedSizeBytes: content.length,
      } as unknown as Ingest,
      file: {
        fd: handle.fd,
        read: async (buffer, offset, length, position) =>
          (await handle.read(buffer, offset, length, position)).bytesRead,
        close: async () => undefined,
      },
      clock: systemClock,
      logger: silentLogger,
      hashTurns: new Semaphore(1),
      workers: workers.pick(),
    });
    await eventually(() => attempt.isHashed || attempt.state !== 'open');
    expect(attempt.isHashed ? await attempt.hashedDigest() : attempt.state).toBe('broken');
    attempt.release();
    await workers.close();
  });
});

describe('a fill on a download worker', () => {
  it.each(['sha256', 'sha512'] as const)('brings the bytes, proves their %s, and stores them', async (algorithm) => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = digestOf(content, algorithm);
    put(registry, content, digest);
    const { engine, upstream } = threaded.engine(registry, digest);
    let writers = -1;
    threaded.beforeAdopt = (path) => (writers = writersOf(path ?? ''));
    const received = await engine.get(upstream);
    await engine.settled();
    expect(received).toMatchObject({ bytes: content.length, digest: digestOf(content) });
    expect(engine.results).toEqual(['stored']);
    expect((await threaded.store.stat(digest))?.sizeBytes).toBe(content.length);
    expect(threaded.bodies).toEqual({ moved: 1, read: 0 });
    expect(threaded.recorded.bytes).toBe(content.length);
    // The owner's own, which adopt is about to close.
    expect(writers).toBe(1);
  });

  it('shows the first bytes at once, and the rest as it comes', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    const later = registry.gate('later');
    registry.on({ kind: 'blob' }, hold(1000, later));
    const { engine, upstream } = threaded.engine(registry, digest);
    const view = await engine.view(upstream);
    const reader = await view.open({ start: 0, end: content.length }, new AbortController().signal);
    expect(await reader.readable(0, AbortSignal.timeout(20_000))).toBe(1000);
    later.open();
    await eventually(async () => (await reader.readable(1000, AbortSignal.timeout(20_000))) > 1000);
    reader.close();
    view.close();
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
  });

  it('continues at the announced byte after a cut', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    registry.on({ kind: 'blob' }, { times: 1 }, cut(3 * mib + 7));
    const { engine, upstream } = threaded.engine(registry, digest);
    expect(await engine.get(upstream)).toMatchObject({ bytes: content.length, digest });
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
    expect(engine.counts.resumed).toBe(1);
    const ranges = registry.requests.map(({ headers }) => headers['range']);
    expect(ranges).toEqual([undefined, `bytes=${3 * mib + 7}-${content.length - 1}`]);
    expect(threaded.bodies).toEqual({ moved: 2, read: 0 });
  });

  it('drops what it has already where an upstream without ranges starts again', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    registry.on({ kind: 'blob' }, { range: 'ignore' });
    registry.on({ kind: 'blob' }, { times: 1 }, { range: 'ignore' }, cut(5 * mib + 1));
    const { engine, upstream } = threaded.engine(registry, digest);
    expect(await engine.get(upstream)).toMatchObject({ bytes: content.length, digest });
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
  });

  it.each(['chunked', 'close'] as const)('takes a body without length (%s)', async (framing) => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    registry.on({ kind: 'blob' }, { framing });
    const { engine, upstream } = threaded.engine(registry, digest);
    expect(await engine.get(upstream)).toMatchObject({ bytes: content.length, digest });
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
  });

  it.each([
    ['a length of nothing', { body: '' }],
    ['a wrong byte', { flip: -1 }],
    ['a short body that claims to be all', { body: content.subarray(0, 100_000) }],
  ])('stores nothing out of %s', async (_, behaviour) => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    registry.on({ kind: 'blob' }, behaviour);
    const { engine, upstream } = threaded.engine(registry, digest);
    await expect(engine.get(upstream)).rejects.toThrow();
    await engine.settled();
    expect(engine.results).toEqual(['mismatch']);
    expect(await threaded.store.stat(digest)).toBeUndefined();
  });

  it('leaves redirects and challenges to the main thread', async () => {
    await using storage = await ScriptedUpstream.start();
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    put(storage);
    registry.on({ kind: 'blob' }, redirect(`${storage.url}/v2/a/b/blobs/${digest}?sig=1`));
    const { engine, upstream } = threaded.engine(registry, digest);
    expect(await engine.get(upstream)).toMatchObject({ digest });
    await engine.settled();
    expect(registry.requests.map(({ method }) => method)).toEqual(['GET']);
    expect(storage.requests.map(({ method }) => method)).toEqual(['GET']);
    expect(threaded.bodies).toEqual({ moved: 1, read: 0 });
  });

  it('brings a range first and the rest beside it, each byte once', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    const { engine, upstream } = threaded.engine(registry, digest);
    const first = 6 * mib;
    const received = await engine.get(upstream, { ranges: [{ kind: 'closed', first, last: first + 99_999 }] });
    expect(received.digest).toBe(digestOf(content.subarray(first, first + 100_000)));
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
    expect(threaded.recorded.bytes).toBe(content.length);
  });

  it('keeps a partial with no writer left when it is stopped, and goes on from there', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    registry.on({ kind: 'blob' }, { times: 1 }, stall(4 * mib));
    const { engine, upstream } = threaded.engine(registry, digest);
    const view = await engine.view(upstream);
    const fill = engine.fills.get('test', digest);
    await eventually(() => fill?.leftBytes === content.length - 4 * mib);
    fill?.stop(new Error('enough'));
    view.close();
    expect(await fill?.done).toBe('abandoned');
    expect(threaded.store.partials()).toHaveLength(1);
    expect(await engine.get(upstream)).toMatchObject({ digest });
    await engine.settled();
    expect(registry.requests.at(-1)?.headers['range']).toBe(`bytes=${4 * mib}-${content.length - 1}`);
  });

  it('passes the rest through when the disk takes no more', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    threaded.pathOf = () => '/dev/full';
    const { engine, upstream } = threaded.engine(registry, digest);
    expect(await engine.get(upstream)).toMatchObject({ bytes: content.length, digest });
    await engine.settled();
    expect(engine.results).toEqual(['bypassed']);
    expect(await threaded.store.stat(digest)).toBeUndefined();
  });
});

describe('a download worker that dies', () => {
  it('in the middle of a body costs a continuation, and the next fill has a new one', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    registry.on({ kind: 'blob', reference: digest }, { times: 1 }, stall(4 * mib));
    const { engine, upstream } = threaded.engine(registry, digest);
    const reading = engine.get(upstream);
    const fill = await eventuallyFill(engine, digest);
    await eventually(() => fill.leftBytes === content.length - 4 * mib);
    const thread = threaded.workers.pick()?.thread;
    await thread?.end();
    expect(await reading).toMatchObject({ bytes: content.length, digest });
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
    expect(registry.requests.at(-1)?.headers['range']).toBe(`bytes=${4 * mib}-${content.length - 1}`);
    expect(threaded.workers.pick()?.thread).not.toBe(thread);
  });

  it('before the head comes costs one more question, by the main thread', async () => {
    await using registry = await ScriptedUpstream.start();
    await using threaded = await Threaded.start();
    const digest = put(registry);
    const gate = registry.gate('head');
    registry.on({ kind: 'blob' }, { times: 1 }, hold('before', gate));
    const { engine, upstream } = threaded.engine(registry, digest);
    const reading = engine.get(upstream);
    await eventually(() => registry.requests.length === 1);
    await threaded.workers.pick()?.thread.end();
    expect(await reading).toMatchObject({ digest });
    await engine.settled();
    expect(threaded.bodies).toEqual({ moved: 0, read: 1 });
  });

  it('over and over is not started again', async () => {
    await using threaded = await Threaded.start();
    for (let i = 0; i < 5; i++) await threaded.workers.pick()?.thread.end();
    expect(threaded.workers.pick()).toBeUndefined();
  });
});

async function eventuallyFill(engine: Engine, digest: Digest): Promise<Fill> {
  await eventually(() => engine.fills.get('test', digest) !== undefined);
  const fill = engine.fills.get('test', digest);
  if (fill === undefined) throw new Error('no fill');
  return fill;
}
