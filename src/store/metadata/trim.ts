/**
 * Keeps the catalog within its share of the cache. What it may forget is what costs one question when it is asked for
 * again: links, tags and manifests whose bytes are not here, repositories that have neither, the oldest listings. A row
 * whose bytes are here never goes, so a catalog of very many blobs may be larger than its share, and nothing is done about it.
 *
 * Works a few rows at a time, between other work: nobody waits for it.
 */
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import type { MetadataDatabase, DatabaseListener, Row } from '../sqlite/database.ts';
import { integerOf, textOf } from '../sqlite/columns.ts';

/** Down to this part of the share, so that it does not run for every row. */
const lowWatermark = 0.9;
/** A pass that found nothing more runs again when the catalog has grown by this. */
const regrowth = 1.25;
const rowsPerTurn = 256;
const pageRows = 128;
const turnMs = 10;
/** What a repository costs by itself, in rows. */
const repositoryRows = 4;
const listingsPerPage = 16;

export interface MetadataTrimOptions {
  readonly database: MetadataDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxBytes: number;
  /** Its bytes are on their way into the store. */
  readonly isArriving: (digest: Digest) => boolean;
  readonly onTagsGone: () => void;
}

export class MetadataTrim implements DatabaseListener {
  readonly #options: MetadataTrimOptions;
  #thresholdBytes: number;
  #pass: Iterator<number> | undefined;
  #timer: Timer | undefined;
  #removed = 0;
  #isClosed = false;

  constructor(options: MetadataTrimOptions) {
    this.#options = options;
    this.#thresholdBytes = options.maxBytes;
    options.database.listen(this);
    this.#look();
  }

  /** Commits are 50 ms apart at least, and a look costs less than a row. */
  afterCommit(): void {
    this.#look();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #look(): void {
    if (this.#pass !== undefined || this.#isClosed || this.#liveBytes() <= this.#thresholdBytes) return;
    this.#removed = 0;
    this.#pass = this.#removals();
    this.#schedule();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(turnMs, () => this.#turn());
  }

  #turn(): void {
    const { database, maxBytes, logger } = this.#options;
    const before = this.#removed;
    let isOver = false;
    for (let rows = 0; rows < rowsPerTurn && !isOver;) {
      const next = this.#pass?.next();
      isOver = next === undefined || next.done === true;
      rows += isOver ? 0 : Number(next?.value);
    }
    // What others remember of rows may be gone now.
    if (this.#removed > before) database.forgetRead();
    const liveBytes = this.#liveBytes();
    if (!isOver && liveBytes > maxBytes * lowWatermark) return this.#schedule();
    this.#pass = undefined;
    this.#thresholdBytes = liveBytes > maxBytes * lowWatermark ? Math.max(maxBytes, liveBytes * regrowth) : maxBytes;
    logger.info({ rows: this.#removed, bytes: liveBytes }, 'rows that nothing needs were removed from the catalog');
    return undefined;
  }

  /** In use: pages that were freed are written again before the file grows. */
  #liveBytes(): number {
    const { database } = this.#options;
    const ask = (name: string): number => integerOf(database.get(`PRAGMA ${name}`) ?? {}, name) ?? 0;
    return (ask('page_count') - ask('freelist_count')) * ask('page_size');
  }

  /** Each step tells how many rows it looked at. The least recently asked for go first, listings last. */
  *#removals(): Generator<number, void> {
    const { database } = this.#options;
    let last: readonly [number, number] = [Number.MIN_SAFE_INTEGER, 0];
    for (;;) {
      const rows = database.all(
        'SELECT id, used_at_ms FROM repositories WHERE (used_at_ms, id) > (?, ?) ORDER BY used_at_ms, id LIMIT ?',
        ...last,
        pageRows,
      );
      for (const row of rows) yield* this.#repository(integerOf(row, 'id') ?? 0);
      const end = rows.at(-1);
      if (end === undefined) break;
      last = [integerOf(end, 'used_at_ms') ?? Number.MAX_SAFE_INTEGER, integerOf(end, 'id') ?? 0];
    }
    for (const table of ['manifests', 'senders']) yield* this.#orphans(table);
    for (;;) {
      const rows = database.all('SELECT rowid AS id FROM listings ORDER BY checked_at_ms LIMIT ?', listingsPerPage);
      if (rows.length === 0) return;
      for (const row of rows) this.#remove('DELETE FROM listings WHERE rowid = ?', integerOf(row, 'id') ?? 0);
      yield rowsPerTurn;
    }
  }

  *#repository(id: number): Generator<number, void> {
    const { database, onTagsGone } = this.#options;
    for (let after = ''; ;) {
      const rows = database.all(
        `SELECT digest, EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = links.digest) AS is_here
         FROM links WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?`,
        id,
        after,
        pageRows,
      );
      for (const digest of this.#absent(rows))
        this.#remove('DELETE FROM links WHERE repository_id = ? AND digest = ?', id, digest);
      yield rows.length + 1;
      if (rows.length < pageRows) break;
      after = textOf(rows.at(-1) ?? {}, 'digest') ?? '\u{10ffff}';
    }
    for (let after = ''; ;) {
      const rows = database.all(
        `SELECT tag, digest, is_pinned OR EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = tags.digest) AS is_here
         FROM tags WHERE repository_id = ? AND tag > ? ORDER BY tag LIMIT ?`,
        id,
        after,
        pageRows,
      );
      const absent = new Set(this.#absent(rows));
      for (const row of rows) {
        if (!absent.has(textOf(row, 'digest') ?? '')) continue;
        this.#remove('DELETE FROM tags WHERE repository_id = ? AND tag = ?', id, textOf(row, 'tag') ?? '');
        onTagsGone();
      }
      yield rows.length + 1;
      if (rows.length < pageRows) break;
      after = textOf(rows.at(-1) ?? {}, 'tag') ?? '\u{10ffff}';
    }
    this.#remove(
      `DELETE FROM repositories WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM links WHERE repository_id = ?1)
       AND NOT EXISTS (SELECT 1 FROM tags WHERE repository_id = ?1)`,
      id,
    );
    yield repositoryRows;
  }

  *#orphans(table: string): Generator<number, void> {
    const { database } = this.#options;
    for (let after = ''; ;) {
      const rows = database.all(
        `SELECT digest, EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = ${table}.digest) AS is_here
         FROM ${table} WHERE digest > ? ORDER BY digest LIMIT ?`,
        after,
        pageRows,
      );
      for (const digest of this.#absent(rows)) this.#remove(`DELETE FROM ${table} WHERE digest = ?`, digest);
      yield rows.length + 1;
      if (rows.length < pageRows) return;
      after = textOf(rows.at(-1) ?? {}, 'digest') ?? '\u{10ffff}';
    }
  }

  #absent(rows: readonly Row[]): readonly string[] {
    return rows.flatMap((row) => {
      const text = textOf(row, 'digest') ?? '';
      const digest = parseDigest(text);
      const isNeeded = integerOf(row, 'is_here') !== 0 || (digest !== undefined && this.#options.isArriving(digest));
      return isNeeded ? [] : [text];
    });
  }

  #remove(sql: string, ...parameters: (string | number)[]): void {
    this.#options.database.run(sql, ...parameters);
    this.#removed++;
  }
}
