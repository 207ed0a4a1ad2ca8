import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../src/fill/contract/errors.ts';
import { eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(2 * mib);

/** Lets the pauses between attempts pass until the fill has ended. */
async function ended(engine: Engine): Promise<void> {
  await eventually(async () => {
    await engine.clock.advance(5000);
    return engine.fills.size === 0;
  });
}

describe('the size that an upstream claims', () => {
  it('is not believed when more has arrived already, and the fill ends', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) =>
      index === 0 ? { declare: 'unknown', bytes: content(4 * mib), cutAfter: 3 * mib } : {};
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream).catch((error: unknown) => error);
    await ended(engine);
    expect(await client).toBeInstanceOf(BrokenBodyError);
    expect(engine.rejected).toContain('size-contradiction');
    // What came is useless: nothing that agrees with it will ever come.
    expect(engine.store.kept.size).toBe(0);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
  });

  it('dies with the fill when all others contradict it, and is not kept with a partial', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => (index === 0 ? { bytes: content(3 * mib), cutAfter: mib } : {});
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream).catch((error: unknown) => error);
    await ended(engine);
    expect(await client).toBeInstanceOf(BrokenBodyError);
    expect(engine.store.kept.size).toBe(0);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
  });

  it('that an older partial claims does not outlive what the upstream says', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const key = { digest: upstream.digest, upstream: upstream.key };
    const ingest = await engine.store.createIngest(key);
    await ingest.write([blob.subarray(0, mib)], 0);
    await ingest.keep([{ start: 0, end: mib }], 7 * mib);
    const first = engine.get(upstream).catch((error: unknown) => error);
    await ended(engine);
    expect(await first).toBeInstanceOf(BrokenBodyError);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
  });

  it('is contradicted by one answer without harm to anybody else', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => {
      if (index === 0) return { cutAfter: mib, endpoint: 'one' };
      return index === 1 ? { declare: 40 * mib, endpoint: 'liar' } : { endpoint: 'three' };
    };
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream);
    await ended(engine);
    expect((await client).digest).toBe(upstream.digest);
    expect(engine.rejected).toEqual(['size-contradiction']);
    expect(upstream.held.size).toBe(0);
  });
});

describe('a partial whose size is unknown', () => {
  it.each([
    ['a part', false],
    ['everything', true],
  ])('is continued by a client that asks for a range, when the upstream answers with %s', async (_, ignoreRange) => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const ingest = await engine.store.createIngest({ digest: upstream.digest, upstream: upstream.key });
    await ingest.write([blob.subarray(0, mib)], 0);
    await ingest.keep([{ start: 0, end: mib }], undefined);
    upstream.script = () => ({ ignoreRange });
    const ranges = [{ kind: 'closed', first: mib / 2, last: mib + mib / 2 }] as const;
    expect((await engine.get(upstream, { ranges })).bytes).toBe(mib + 1);
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(upstream.held.size).toBe(0);
  });
});
