/** A digest that was served under a name, and whose bytes are here, is served under it for good: whatever goes, not this. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MetadataTrim } from '../../../src/store/metadata/trim.ts';
import type { ContentKind, RepositoryKey } from '../../../src/store/contract/metadata.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { repositoryKey, tagKey } from '../support/harness.ts';

const names = 4;
const contents = 5;
const index = fc.nat({ max: names * contents - 1 });
const step = fc.oneof(
  /** The upstream says 200; the bytes stay there. */
  fc.record({ do: fc.constant('head' as const), at: index }),
  /** Served, and stored. */
  fc.record({ do: fc.constant('get' as const), at: index }),
  fc.record({ do: fc.constant('evict' as const), at: index }),
  fc.record({ do: fc.constant('restart' as const), at: index }),
  fc.record({ do: fc.constant('trim' as const), at: index }),
);

it('whatever is asked for, served, evicted and trimmed, in any order', async () => {
  let kept = 0;
  let trimmed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const clock = new FakeClock();
      using metadata = closing(new Metadata({ path: ':memory:', clock, logger: silentLogger }));
      const served = new Map<string, { key: RepositoryKey; content: number; kind: ContentKind }>();
      const here = new Set<number>();
      const arriving = new Set<string>();
      /** Over its share from the start: each pass removes all that it may. */
      const trim = (): MetadataTrim =>
        new MetadataTrim({
          database: metadata.it.database,
          clock,
          logger: silentLogger,
          maxBytes: 1,
          isArriving: (digest) => arriving.has(digest),
          onTagsGone: () => undefined,
        });
      for (const { do: what, at } of steps) {
        const content = at % contents;
        const digest = digestOf(`content ${content}`);
        const key = repositoryKey(`name/${Math.floor(at / contents)}`);
        const kind = content % 2 === 0 ? 'manifest' : 'blob';
        if (what === 'head' || what === 'get') {
          metadata.it.links.add(key, digest, kind, { origin: byAnybody });
          // A HEAD of what is here is as good as having it.
          if (what === 'get' || here.has(content)) served.set(`${at}`, { key, content, kind });
        }
        if (what === 'get') {
          arriving.add(digest);
          const pass = trim();
          await clock.advance(20);
          metadata.it.blobs.record({ digest, sizeBytes: 1, allocatedBytes: 1 });
          if (kind === 'manifest') {
            const record = { digest, mediaType: 'a/b', sizeBytes: 1 };
            metadata.it.manifests.record(record);
            metadata.it.tags.put(tagKey(key.repository, 'v1'), { ...record, checkedAtMs: 1, isDenied: false });
          }
          arriving.delete(digest);
          here.add(content);
          pass.close();
        }
        if (what === 'evict') {
          metadata.it.blobs.forget(digest);
          here.delete(content);
          // Once its bytes are gone, its links may go at any time.
          for (const [name, link] of served) if (link.content === content) served.delete(name);
        }
        if (what === 'restart') metadata.it.flush();
        if (what === 'trim') {
          const before = metadata.it.database.all('SELECT 1 FROM links').length;
          const pass = trim();
          for (let i = 0; i < 100 && clock.pending > 0; i++) await clock.advance(20);
          pass.close();
          trimmed += before - metadata.it.database.all('SELECT 1 FROM links').length;
        }
        for (const link of served.values()) {
          kept++;
          expect(metadata.it.links.has(link.key, digestOf(`content ${link.content}`), link.kind)).toBe(true);
          if (link.kind === 'manifest')
            expect(metadata.it.manifests.get(digestOf(`content ${link.content}`))).toBeDefined();
        }
      }
    }),
    { numRuns: 100 },
  );
  expect(kept).toBeGreaterThan(1000);
  expect(trimmed).toBeGreaterThan(20);
}, 60_000);

function closing(metadata: Metadata): Disposable & { readonly it: Metadata } {
  return { it: metadata, [Symbol.dispose]: () => metadata.close() };
}
