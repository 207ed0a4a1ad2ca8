import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Cache, ManifestAnswer, ManifestQuery } from '../../src/cache/contract/cache.ts';
import type { BlobView } from '../../src/fill/contract/blob-view.ts';
import { withLargeAnswers } from '../../src/cache/large-answers.ts';
import { longestInMemory } from '../../src/cache/contract/lease.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepository, type Repository } from '../../src/oci/reference.ts';
import { type BlobInfo, type BlobStore, type OpenBlob, StoreError } from '../../src/store/contract/blob-store.ts';
import { ScratchFiles } from '../../src/store/files/scratch.ts';
import { tempDirectory } from '../support/temp.ts';

const repository = parseRepository('team/app') as Repository;
const large = Buffer.alloc(longestInMemory + 1, 'a');
const digest = digestOf(large);
const query: ManifestQuery = { upstream: 'lab', repository, reference: { kind: 'digest', digest }, method: 'get' };
const all = { upstream: 'lab', repository, n: undefined, last: undefined };
const signal = new AbortController().signal;

function manifestOf(bytes: Uint8Array): ManifestAnswer {
  return { digest: digestOf(bytes), mediaType: 'a/b', sizeBytes: bytes.byteLength, bytes, outcome: { kind: 'hit' } };
}

/** A cache that answers everything with what it is given. */
function cacheOf(manifest: ManifestAnswer, items: readonly string[] = []): Cache {
  const outcome = { kind: 'hit' } as const;
  return {
    manifest: () => Promise.resolve(manifest),
    blob: () => Promise.reject(new Error('no blobs')),
    tags: () => Promise.resolve({ tags: items, next: undefined, outcome }),
    referrers: () => Promise.resolve({ manifests: items, next: undefined, isFiltered: false, outcome }),
    catalog: () => Promise.resolve({ repositories: items, next: undefined }),
    peek: () => Promise.resolve({ ...manifest, stamp: [] as never, holdsMs: 1, freshMs: undefined }),
  };
}

/** A store with at most one blob. */
function storeOf(bytes?: Uint8Array, isSuspect = false): Pick<BlobStore, 'stat' | 'open'> {
  const info = (of: Digest): BlobInfo | undefined =>
    bytes === undefined ? undefined : { digest: of, sizeBytes: bytes.byteLength, path: undefined, isSuspect };
  return {
    stat: (of) => Promise.resolve(info(of)),
    open: (of) => {
      const found = info(of);
      if (bytes === undefined || found === undefined) return Promise.resolve(undefined);
      const opened: OpenBlob = {
        info: found,
        read: (buffer, offset, length, position) => {
          const piece = bytes.subarray(position, position + length);
          buffer.set(piece, offset);
          return Promise.resolve(piece.byteLength);
        },
        close: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      return Promise.resolve(opened);
    },
  };
}

/** Writes nothing, and says how often it was asked to. */
class FullDisk {
  writes = 0;
  write(): Promise<never> {
    this.writes++;
    return Promise.reject(new StoreError('full', 'no space'));
  }
}

async function textOf(view: BlobView | undefined): Promise<string> {
  if (view === undefined) throw new Error('no view');
  const reader = await view.open({ start: 0, end: view.sizeBytes }, signal);
  const buffer = Buffer.alloc(view.sizeBytes ?? 0);
  for (let at = 0; at < buffer.byteLength;) at += await reader.read(buffer, at, buffer.byteLength - at, at);
  reader.close();
  return buffer.toString();
}

describe('a long manifest', () => {
  it('comes from its file in the store, without its bytes', async () => {
    const disk = new FullDisk();
    const cache = withLargeAnswers(cacheOf(manifestOf(large)), { store: storeOf(large), scratch: disk });
    const { bytes, body, sizeBytes } = await cache.manifest(query, signal);
    expect([bytes, sizeBytes, body?.digest]).toEqual([undefined, large.byteLength, digest]);
    expect(await textOf(body)).toBe(large.toString());
    body?.close();
    expect(disk.writes).toBe(0);
  });

  it.each([
    ['not in the store', storeOf()],
    ['suspect there', storeOf(Buffer.alloc(large.byteLength, 'b'), true)],
    ['of another size there', storeOf(Buffer.from('b'))],
  ])('that is %s is written to a file without a name', async (_what, store) => {
    await using directory = await tempDirectory('scratch');
    const cache = withLargeAnswers(cacheOf(manifestOf(large)), { store, scratch: new ScratchFiles(directory.path) });
    const { body } = await cache.manifest(query, signal);
    expect(await textOf(body)).toBe(large.toString());
    body?.close();
  });

  it('is not leased: its bytes would be held for every client', async () => {
    const peek = { kind: 'manifest', ...query } as const;
    const options = { store: storeOf(large), scratch: undefined };
    expect(await withLargeAnswers(cacheOf(manifestOf(large)), options).peek(peek)).toBeUndefined();
    const small = manifestOf(large.subarray(1));
    expect((await withLargeAnswers(cacheOf(small), options).peek(peek))?.bytes?.byteLength).toBe(longestInMemory);
    expect((await withLargeAnswers(cacheOf(small), options).manifest(query, signal)).bytes).toBe(small.bytes);
  });
});

describe('a long list', () => {
  const items = Array.from({ length: 5000 }, (_, index) => `tag-${index}-${'x'.repeat(20)}`);

  it('is JSON in a file, and a short one stays what it is', async () => {
    await using directory = await tempDirectory('scratch');
    const options = { store: storeOf(), scratch: new ScratchFiles(directory.path) };
    const cache = withLargeAnswers(cacheOf(manifestOf(large), items), options);
    const lists = [
      { list: await cache.tags(all, signal), empty: { tags: [] } },
      {
        list: await cache.referrers({ ...query, digest, artifactType: undefined, n: 1, last: undefined }, signal),
        empty: { manifests: [] },
      },
      {
        list: await cache.catalog({ upstream: undefined, n: 1, last: undefined }, signal),
        empty: { repositories: [] },
      },
    ];
    for (const { list, empty } of lists) {
      expect(list).toMatchObject(empty);
      expect(JSON.parse(await textOf(list.items))).toEqual(items);
      list.items?.close();
    }
    const short = withLargeAnswers(cacheOf(manifestOf(large), items.slice(0, 10)), options);
    const few = await short.tags(all, signal);
    expect([few.tags, few.items]).toEqual([items.slice(0, 10), undefined]);
  });

  it('is written once for all who read it at the same time, and lets go with the last of them', async () => {
    await using directory = await tempDirectory('scratch');
    // Room for one of them.
    const scratch = new ScratchFiles(directory.path, JSON.stringify(items).length);
    const cache = withLargeAnswers(cacheOf(manifestOf(large), items), { store: storeOf(), scratch });
    const ask = () => cache.tags(all, signal);
    const [one, other] = [await ask(), await ask()];
    one.items?.close();
    one.items?.close();
    expect(JSON.parse(await textOf(other.items))).toEqual(items);
    await expect(scratch.write(Buffer.from('x'))).rejects.toThrow('too many answers');
    other.items?.close();
    await new Promise((resolve) => void setImmediate(resolve));
    await (await scratch.write(Buffer.from('x'))).close();
  });

  it('is held in memory where no file can be written, up to 32 MiB of them', async () => {
    const options = { store: storeOf(), scratch: new FullDisk() };
    const { items: view } = await withLargeAnswers(cacheOf(manifestOf(large), items), options).tags(all, signal);
    expect(JSON.parse(await textOf(view))).toEqual(items);
    view?.close();
    const huge = Array.from({ length: 34 }, (_, index) => String(index).padEnd(1024 * 1024, 'x'));
    const cache = withLargeAnswers(cacheOf(manifestOf(large), huge), options);
    await expect(cache.tags(all, signal)).rejects.toThrow(StoreError);
  });
});

describe('a file without a name', () => {
  it('leaves nothing in its directory', async () => {
    await using directory = await tempDirectory('scratch');
    const file = await new ScratchFiles(directory.path).write(Buffer.from('bytes'));
    const buffer = Buffer.alloc(5);
    expect(await file.read(buffer, 0, 5, 0)).toBe(5);
    expect([buffer.toString(), readdirSync(directory.path)]).toEqual(['bytes', []]);
    await file.close();
  });
});
