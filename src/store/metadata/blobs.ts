/** Which blobs are sealed, how large they are and when they were last used: the order of eviction. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import type { MetadataDatabase, DatabaseListener, Row } from '../sqlite/database.ts';
import type { BlobRow, ProvedBlob, SuspectBlob } from '../contract/metadata.ts';
import { type FileStamp, formatStamp, parseStamp } from '../contract/file-stamp.ts';
import { bit, factOf, integerOf, readable, textOf } from '../sqlite/columns.ts';

const hotBlobs = 16_384;
const oldestPerPage = 64;

interface Totals {
  readonly blobs: number;
  readonly allocatedBytes: number;
}

export class BlobRows implements DatabaseListener {
  readonly #database: MetadataDatabase;
  readonly #clock: Clock;
  readonly #hot: LRUCache<Digest, BlobRow> | undefined;
  /** Uses since the last commit; a blob that is hit a thousand times in 50 ms is written once. */
  #touched = new Map<Digest, number>();
  #totals: Totals | undefined;

  constructor(database: MetadataDatabase, clock: Clock, isOwner: boolean) {
    this.#database = database;
    this.#clock = clock;
    // Another thread's copy would not hear of changes.
    this.#hot = isOwner ? new LRUCache({ max: hotBlobs }) : undefined;
    if (isOwner) {
      database.listen(this);
      // A clock that was ahead for a while would keep what it touched for ever.
      database.run('UPDATE blobs SET last_used_ms = ?1 WHERE is_pinned = 0 AND last_used_ms > ?1', clock.now());
    }
  }

  /** Like `get`, for looks that say nothing about later ones: a walk through all blobs would empty the cache. */
  peek(digest: Digest): BlobRow | undefined {
    const row = this.#database.get('SELECT * FROM blobs WHERE digest = ?', digest);
    return row === undefined ? undefined : this.#read(row);
  }

  get(digest: Digest): BlobRow | undefined {
    let blob = this.#hot?.get(digest);
    if (blob === undefined) {
      blob = this.peek(digest);
      if (blob === undefined) return undefined;
      this.#hot?.set(digest, blob);
    }
    const now = this.#clock.now();
    const lastUsedMs = Math.min(this.#touched.get(digest) ?? blob.lastUsedMs, now);
    return lastUsedMs === blob.lastUsedMs ? blob : { ...blob, lastUsedMs };
  }

  /** Proved bytes: used now, and suspect no more. Called by the blob store. */
  record({ digest, sizeBytes, allocatedBytes, stamp }: ProvedBlob): void {
    const isPinned = this.get(digest)?.isPinned ?? false;
    const now = this.#clock.now();
    this.#changed(digest);
    this.#touched.delete(digest);
    this.#database.run(
      `INSERT INTO blobs (digest, size_bytes, allocated_bytes, last_used_ms, file_stamp) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (digest) DO UPDATE
       SET size_bytes = ?2, allocated_bytes = ?3, last_used_ms = ?4, is_suspect = 0, file_stamp = ?5`,
      digest,
      sizeBytes,
      allocatedBytes,
      now,
      stamp === undefined ? null : formatStamp(stamp),
    );
    // As it will be, also while the file cannot be written.
    this.#hot?.set(digest, { digest, sizeBytes, allocatedBytes, lastUsedMs: now, isPinned, isSuspect: false, stamp });
  }

  /** A file that nobody has proved: it gets a row, or its row stops to vouch for it. Called by the blob store. */
  recordSuspect({ digest, sizeBytes, allocatedBytes, lastUsedMs }: SuspectBlob): void {
    // The row may be there, and right.
    if (this.#database.isLockedOut) return;
    this.#changed(digest);
    this.#database.run(
      `INSERT INTO blobs (digest, size_bytes, allocated_bytes, last_used_ms, is_suspect) VALUES (?1, ?2, ?3, ?4, 1)
       ON CONFLICT (digest) DO UPDATE
       SET size_bytes = ?2, allocated_bytes = ?3, is_suspect = 1, file_stamp = NULL`,
      digest,
      sizeBytes,
      allocatedBytes,
      Math.trunc(Math.min(lastUsedMs, this.#clock.now())),
    );
  }

  /** The same bytes, as a file that is known again by this. Without effect on a row that is not there, or suspect. */
  restamp(digest: Digest, stamp: FileStamp): void {
    this.#changed(digest);
    this.#database.run(
      'UPDATE blobs SET file_stamp = ? WHERE digest = ? AND is_suspect = 0',
      formatStamp(stamp),
      digest,
    );
  }

  forget(digest: Digest): void {
    this.#changed(digest);
    this.#touched.delete(digest);
    this.#database.run('DELETE FROM blobs WHERE digest = ?', digest);
  }

  /** Marks a use now. Cheap enough for every hit. */
  touch(digest: Digest): void {
    this.#touched.set(digest, this.#clock.now());
    this.#database.commitSoon();
  }

  /** The least recently used unpinned blobs, oldest first. */
  oldest(limit: number): readonly BlobRow[] {
    this.#writeTouches();
    return readable(
      this.#database.all('SELECT * FROM blobs WHERE is_pinned = 0 ORDER BY last_used_ms LIMIT ?', limit),
      (row) => this.#read(row),
    );
  }

  /** The same without an end, a page at a time, each read when it is needed: the caller removes what it gets, and others use blobs meanwhile. */
  *oldestFirst(): Generator<BlobRow, void> {
    // What is used from now on moves behind this, or the end would never come.
    const untilMs = this.#clock.now();
    let last: readonly [number, number] = [Number.MIN_SAFE_INTEGER, 0];
    for (;;) {
      this.#writeTouches();
      const rows = this.#database.all(
        `SELECT rowid AS position, * FROM blobs
         WHERE is_pinned = 0 AND (last_used_ms, rowid) > (?, ?) AND last_used_ms <= ?
         ORDER BY last_used_ms, rowid LIMIT ?`,
        ...last,
        untilMs,
        oldestPerPage,
      );
      yield* readable(rows, (row) => this.#read(row));
      const end = rows.at(-1);
      if (end === undefined) return;
      last = [integerOf(end, 'last_used_ms') ?? untilMs, integerOf(end, 'position') ?? Number.MAX_SAFE_INTEGER];
    }
  }

  totals(): Totals {
    if (this.#totals !== undefined) return this.#totals;
    const row = this.#database.get('SELECT blobs, allocated_bytes FROM totals') ?? {};
    this.#totals = { blobs: integerOf(row, 'blobs') ?? 0, allocatedBytes: integerOf(row, 'allocated_bytes') ?? 0 };
    return this.#totals;
  }

  /** Something else has changed what they take. */
  recount(): void {
    this.#totals = undefined;
  }

  /** Pinned blobs are never among the `oldest`. Without effect on a blob that is not there. */
  setPinned(digest: Digest, isPinned: boolean): void {
    this.#changed(digest);
    this.#database.run('UPDATE blobs SET is_pinned = ? WHERE digest = ?', bit(isPinned), digest);
  }

  beforeCommit(): void {
    this.#writeTouches();
  }

  reset(): void {
    this.#hot?.clear();
    this.#totals = undefined;
  }

  #changed(digest: Digest): void {
    this.#hot?.delete(digest);
    this.#totals = undefined;
  }

  #writeTouches(): void {
    if (this.#touched.size === 0) return;
    const touched = this.#touched;
    this.#touched = new Map();
    for (const [digest, lastUsedMs] of touched) {
      this.#hot?.delete(digest);
      this.#database.run('UPDATE blobs SET last_used_ms = ? WHERE digest = ?', lastUsedMs, digest);
    }
  }

  #read(row: Row): BlobRow | undefined {
    const digest = parseDigest(textOf(row, 'digest') ?? '');
    const sizeBytes = integerOf(row, 'size_bytes');
    const allocatedBytes = integerOf(row, 'allocated_bytes');
    const lastUsedMs = integerOf(row, 'last_used_ms');
    if (digest === undefined || sizeBytes === undefined) return undefined;
    if (allocatedBytes === undefined || lastUsedMs === undefined) return undefined;
    return {
      digest,
      sizeBytes,
      allocatedBytes,
      lastUsedMs: Math.min(lastUsedMs, this.#clock.now()),
      isPinned: factOf(row, 'is_pinned'),
      isSuspect: factOf(row, 'is_suspect'),
      stamp: parseStamp(textOf(row, 'file_stamp') ?? ''),
    };
  }
}
