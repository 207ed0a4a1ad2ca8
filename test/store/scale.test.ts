import { createHook } from 'node:async_hooks';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { makeManyBlobs, type ManyBlobs } from '../support/many-blobs.ts';
import { tempDirectory } from '../support/temp.ts';
import { openTestStore, repositoryKey, tagKey, type TestStore } from './support/harness.ts';

interface Work {
  readonly statements: number;
  readonly fileCalls: number;
}

/** What the owner's thread asks of SQLite and of the file system. Other threads are not seen. */
class Watch implements Disposable {
  readonly sql = new Set<string>();
  #statements = 0;
  #fileCalls = 0;
  readonly #undo: (() => void)[] = [];
  readonly #hook = createHook({
    init: (_id, type) => {
      if (type.startsWith('FSREQ')) this.#fileCalls++;
    },
  }).enable();

  constructor() {
    const count = (): void => void this.#statements++;
    for (const name of ['get', 'all', 'run']) this.#before(StatementSync.prototype, name, count);
    this.#before(DatabaseSync.prototype, 'prepare', (text) => void this.sql.add(String(text)));
  }

  /** Since the last call. */
  take(): Work {
    const work = { statements: this.#statements, fileCalls: this.#fileCalls };
    this.#statements = 0;
    this.#fileCalls = 0;
    return work;
  }

  [Symbol.dispose](): void {
    this.#hook.disable();
    for (const undo of this.#undo) undo();
  }

  /** Calls `listener` before the method, with its first argument. */
  #before(prototype: object, name: string, listener: (argument: unknown) => void): void {
    const method = Reflect.get(prototype, name) as (...args: unknown[]) => unknown;
    Reflect.set(prototype, name, function (this: unknown, ...args: unknown[]) {
      listener(args[0]);
      return Reflect.apply(method, this, args);
    });
    this.#undo.push(() => Reflect.set(prototype, name, method));
  }
}

/** Everything that a daemon asks its store while it runs. */
async function use(opened: TestStore, made: ManyBlobs): Promise<void> {
  const { store, metadata } = opened;
  const { repository, tag, manifest, blobs } = made.image(0);
  const key = repositoryKey(repository, 'lab');
  for (const digest of blobs) {
    await store.stat(digest);
    await using blob = await store.open(digest);
    expect(blob?.info.sizeBytes).toBeGreaterThan(0);
    metadata.blobs.touch(digest);
    expect(metadata.links.has(key, digest, 'blob')).toBe(true);
    expect(metadata.links.of(digest, 'blob', 8)).toHaveLength(1);
  }
  expect(metadata.tags.get(tagKey(repository, tag, 'lab'))?.digest).toBe(manifest);
  expect(metadata.manifests.get(manifest)?.digest).toBe(manifest);
  expect(metadata.tags.of(key).length).toBeGreaterThan(0);
  expect(metadata.provenance.get(manifest, 'lab')).toEqual({ isPublic: true, isOwn: true });
  expect(metadata.repositories.of('lab')[Symbol.iterator]().next().done).toBe(false);
  store.usage();
  metadata.flush();
  let evicted = 0;
  for (const { digest } of metadata.blobs.oldestFirst()) {
    await store.remove(digest);
    if (++evicted === 5) break;
  }
  store.usage();
  metadata.flush();
}

async function measure(
  blobs: number,
): Promise<{ readonly phases: readonly Work[]; readonly sql: ReadonlySet<string> }> {
  await using temp = await tempDirectory('flat');
  const made = await makeManyBlobs({ root: temp.path, blobs });
  using watch = new Watch();
  const opened = await openTestStore(temp.path);
  const starting = watch.take();
  expect((await opened.recovered).blobs).toBe(blobs);
  const recovering = watch.take();
  await use(opened, made);
  const using_ = watch.take();
  await opened.close();
  return { phases: [starting, recovering, using_, watch.take()], sql: watch.sql };
}

describe('the work of the owner’s thread', () => {
  it('at the start, in recovery, in use and at the stop does not depend on the number of blobs', async () => {
    const few = await measure(100);
    const many = await measure(5000);
    expect(many.phases).toEqual(few.phases);
    // An orderly stop asks the catalog nothing: it only commits.
    expect(few.phases.slice(0, -1).every(({ statements }) => statements > 0)).toBe(true);
    expect(few.phases.every(({ fileCalls }) => fileCalls > 0)).toBe(true);
  });

  it('never makes SQLite walk through a table that grows, or sort one', async () => {
    const { sql } = await measure(100);
    await using temp = await tempDirectory('plans');
    await makeManyBlobs({ root: temp.path, blobs: 10 });
    const database = new DatabaseSync(temp.file('weir', 'catalog.db'), { readOnly: true });
    try {
      const questions = [...sql].filter(
        (text) => /^\s*(SELECT|UPDATE|DELETE|INSERT)/.test(text) && !text.includes('sqlite_schema'),
      );
      expect(questions.length).toBeGreaterThan(12);
      const slow = questions.flatMap((text) =>
        database
          .prepare(`EXPLAIN QUERY PLAN ${text}`)
          .all()
          .map((row) => String(row['detail']))
          // `totals` has one row; LIMIT 1 reads one.
          .filter((step) => /SCAN|TEMP B-TREE/.test(step) && step !== 'SCAN totals')
          .filter(() => !text.endsWith('LIMIT 1'))
          .map((step) => `${step}: ${text}`),
      );
      expect(slow).toEqual([]);
    } finally {
      database.close();
    }
  });
});
