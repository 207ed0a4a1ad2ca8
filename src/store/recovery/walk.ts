/**
 * The walk over all blobs, a step at a time: which files are not as the catalog has them, which rows have no file. It
 * only looks, with synchronous calls, so it belongs on a thread of its own; whoever is told of a difference looks again.
 */
import { type BigIntStats, lstatSync, opendirSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import { judge, type JudgedRow } from '../blobs/check.ts';
import { parseStamp } from '../contract/file-stamp.ts';
import { hasCode } from '../../lib/system-error.ts';
import { blobAlgorithms, blobDirectory, blobPath, digestOfBlobName, type StorePaths } from '../files/paths.ts';
import { factOf, integerOf, textOf } from '../sqlite/columns.ts';
import { isDamage, isSickness } from '../files/sqlite-errors.ts';

export interface WalkStep {
  /** Files, or rows, that this step looked at. */
  readonly seen: number;
  /** At most `mostDiffering`. */
  readonly differing: readonly Digest[];
  /** Files that are not named like blobs. */
  readonly strangers: number;
}

/** Small enough to come back soon, large enough that coming back costs nothing. */
const seenPerStep = 2000;
const mostDiffering = 256;

/** Every file under `blobs/`. Throws the file system's error. */
export function* walkFiles(paths: StorePaths, rows: RowReader): Generator<WalkStep, void> {
  for (const algorithm of blobAlgorithms) {
    const directory = opendirSync(blobDirectory(paths, algorithm), { bufferSize: 1024 });
    try {
      let [seen, strangers] = [0, 0];
      let differing: Digest[] = [];
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        const digest = digestOfBlobName(algorithm, entry.name);
        if (digest === undefined) strangers++;
        else {
          seen++;
          if (!isAsRecorded(paths, digest, rows)) differing.push(digest);
        }
        if (seen < seenPerStep && differing.length < mostDiffering) continue;
        yield { seen, differing, strangers };
        [seen, strangers] = [0, 0];
        differing = [];
      }
      yield { seen, differing, strangers };
    } finally {
      directory.closeSync();
    }
  }
}

/** Every row, in the order of the digests. A row differs when nothing has its name. */
export function* walkRows(paths: StorePaths, rows: RowReader): Generator<WalkStep, void> {
  for (let page = rows.after('', mostDiffering); page.length > 0; page = rows.after(page.at(-1) ?? '', mostDiffering)) {
    const digests = page.flatMap((text) => parseDigest(text) ?? []);
    const differing = digests.filter((digest) => look(paths, digest) === undefined);
    yield { seen: page.length, differing, strangers: 0 };
  }
}

/**
 * The rows as committed. Whatever keeps SQLite from reading them, damage included, is answered as if they were not
 * there: the owner looks at what seems to differ with its own connection, and knows what to do.
 */
export class RowReader {
  readonly #row: StatementSync | undefined;
  readonly #page: StatementSync | undefined;

  constructor(database: DatabaseSync | undefined) {
    const prepare = (sql: string): StatementSync | undefined => attempt(() => database?.prepare(sql));
    this.#row = prepare('SELECT size_bytes, is_suspect, file_stamp FROM blobs WHERE digest = ?');
    // In pages: a statement that stays open would hold the log back.
    this.#page = prepare('SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?');
  }

  row(digest: Digest): JudgedRow | undefined {
    const row = attempt(() => this.#row?.get(digest));
    const sizeBytes = row === undefined ? undefined : integerOf(row, 'size_bytes');
    if (row === undefined || sizeBytes === undefined) return undefined;
    const stamp = parseStamp(textOf(row, 'file_stamp') ?? '');
    return { sizeBytes, isSuspect: factOf(row, 'is_suspect'), stamp, lastUsedMs: 0 };
  }

  /** As they stand, also those that are no digests. */
  after(digest: string, limit: number): readonly string[] {
    return (attempt(() => this.#page?.all(digest, limit)) ?? []).map((row) => textOf(row, 'digest') ?? '');
  }
}

function attempt<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isDamage(error) || isSickness(error)) return undefined;
    throw error;
  }
}

function isAsRecorded(paths: StorePaths, digest: Digest, rows: RowReader): boolean {
  const row = rows.row(digest);
  if (row === undefined) return false;
  const stats = look(paths, digest);
  if (stats === undefined) return false;
  const verdict = judge(digest, stats, row, undefined);
  // A file that only moved is proved when it is used, not now: a start must not read a whole store.
  return verdict.kind === 'good' && (verdict.row === 'current' || verdict.row === 'moved');
}

function look(paths: StorePaths, digest: Digest): BigIntStats | undefined {
  try {
    return lstatSync(blobPath(paths, digest), { bigint: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
