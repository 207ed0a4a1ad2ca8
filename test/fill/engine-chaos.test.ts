import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { type RequestRange, resolveRanges } from '../../src/headers/range.ts';
import { eventually } from '../support/gate.ts';
import { BlobUpstream, type Script } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const size = 1_500_007;
const blob = content(size);
const wrong = content(size, 3);
const short = blob.subarray(0, size - 400_000);

const behaviours = [
  'right',
  'cut',
  'cutAtOnce',
  'wrong',
  'wrongCut',
  'short',
  'noLength',
  'ignoreRange',
  'refuse',
  'notFound',
  'unreachable',
] as const;
type Behaviour = (typeof behaviours)[number];
const liars = new Set<Behaviour>(['wrong', 'wrongCut', 'short']);
const troubles = ['none', 'none', 'isSick', 'failsAdopt', 'failsOpenReader', 'failsStat'] as const;

interface Client {
  readonly range: RequestRange | undefined;
  readonly repository: string;
  /** Leaves after so many bytes. */
  readonly stopAt: number | undefined;
  /** Begins after so many turns of the event loop. */
  readonly delay: number;
}

const position = fc.integer({ min: 0, max: size - 1 });
const range: fc.Arbitrary<RequestRange | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(position, position)
      .map(([a, b]) => ({ kind: 'closed', first: Math.min(a, b), last: Math.max(a, b) }) as const),
  },
  position.map((first) => ({ kind: 'open', first }) as const),
  position.map((length) => ({ kind: 'suffix', length: length + 1 }) as const),
);
const client: fc.Arbitrary<Client> = fc.record({
  range,
  repository: fc.constantFrom('a/b', 'c/d'),
  stopAt: fc.option(fc.integer({ min: 1, max: size }), { nil: undefined, freq: 4 }),
  delay: fc.integer({ min: 0, max: 12 }),
});

function scriptFor(upstream: BlobUpstream, behaviour: Behaviour, isRange: boolean): Script {
  const endpoint = behaviour;
  switch (behaviour) {
    case 'right':
      return { endpoint };
    case 'cut':
      return { endpoint, cutAfter: 123_456 };
    case 'cutAtOnce':
      return { endpoint, cutAfter: 0 };
    case 'wrong':
      return { endpoint, bytes: wrong };
    case 'wrongCut':
      return { endpoint, bytes: wrong, cutAfter: 300_000 };
    case 'short':
      return isRange ? { endpoint } : { endpoint, bytes: short };
    case 'noLength':
      return { endpoint, declare: 'unknown' };
    case 'ignoreRange':
      return { endpoint, ignoreRange: true };
    case 'notFound':
    case 'unreachable':
      return { fail: upstream.error(behaviour) };
    case 'refuse':
      return isRange ? { endpoint, fail: upstream.error('rangeRefused') } : { endpoint };
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function run(engine: Engine, upstream: BlobUpstream, one: Client, isHonest: boolean): Promise<boolean> {
  await turns(one.delay);
  const ranges = one.range === undefined ? undefined : [one.range];
  const view = await engine.view(upstream, { repository: one.repository, ...(ranges === undefined ? {} : { ranges }) });
  try {
    if (ranges !== undefined && view.sizeBytes === undefined) return false;
    const resolved = ranges === undefined ? undefined : resolveRanges(ranges, view.sizeBytes ?? 0);
    if (resolved?.kind === 'unsatisfiable') return false;
    const span = resolved?.kind === 'single' ? resolved.span : { start: 0, end: size };
    const stopAt = one.stopAt === undefined ? {} : { stopAt: one.stopAt };
    const received = await engine.read(view, { ...(ranges === undefined ? {} : { ranges }), ...stopAt });
    const isWhole = received.bytes === span.end - span.start || resolved?.kind !== 'single';
    if (one.stopAt !== undefined && received.bytes >= one.stopAt) return false;
    // Parts as short as here leave before the proof, for clients that check them themselves; all of it never does.
    const isAll = span.start === 0 && span.end === size;
    if (isHonest || isAll) {
      expect(isWhole).toBe(true);
      expect(received.digest).toBe(digestOf(blob.subarray(span.start, span.end)));
    }
    return true;
  } finally {
    view.close();
  }
}

describe('whatever upstream, store and clients do', () => {
  it('a body that ends is right, everything ends, and nothing stays open', { timeout: 120_000 }, async () => {
    let ended = 0;
    const property = fc.asyncProperty(
      fc.array(fc.constantFrom(...behaviours), { minLength: 1, maxLength: 6 }),
      fc.array(client, { minLength: 1, maxLength: 6 }),
      fc.option(fc.integer({ min: 0, max: size }), { nil: Infinity, freq: 3 }),
      fc.constantFrom(...troubles),
      fc.boolean(),
      async (script, clients, fullAt, trouble, keeps) => {
        const upstream = new BlobUpstream(blob, { chunkBytes: 32 * 1024 });
        upstream.script = ({ range: asked }, index) =>
          scriptFor(upstream, script[index] ?? 'right', asked !== undefined);
        await using engine = new Engine([upstream], { onAbandon: keeps ? 'keep' : 'finish' });
        engine.store.fullAt = fullAt;
        if (trouble !== 'none') engine.store[trouble] = true;
        const isHonest = !script.some((behaviour) => liars.has(behaviour));
        let running = clients.length;
        const all = clients.map(async (one) => {
          try {
            if (await run(engine, upstream, one, isHonest)) ended += 1;
          } catch (error) {
            if (error instanceof Error && (error.name === 'AssertionError' || /not within/.test(error.message)))
              throw error;
          } finally {
            running -= 1;
          }
        });
        const done = Promise.all(all);
        done.catch(() => undefined);
        await eventually(async () => {
          await engine.clock.advance(5000);
          return running === 0 && engine.fills.size === 0;
        });
        await done;
        await turns(2);
        const { openIngests, openReaders, misuses } = engine.store;
        expect({ openIngests, openReaders, misuses }).toEqual({ openIngests: 0, openReaders: 0, misuses: [] });
        expect([upstream.openBodies, upstream.held.size]).toEqual([0, 0]);
        const stored = engine.store.blobs.get(upstream.digest);
        if (stored !== undefined) expect(stored.equals(blob)).toBe(true);
        expect(engine.clock.pending).toBe(1);
        // And whatever happened, the next one gets it, or the one who comes after a partial has turned out to be wrong.
        engine.store.fullAt = Infinity;
        if (trouble !== 'none') engine.store[trouble] = false;
        upstream.script = () => ({});
        await engine.clock.advance(6000);
        const { digest } = await engine.get(upstream).catch(() => engine.get(upstream));
        expect(digest).toBe(upstream.digest);
      },
    );
    await fc.assert(property, { numRuns: 60 });
    expect(ended).toBeGreaterThan(60);
  });
});
