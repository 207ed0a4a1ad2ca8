/**
 * The catalog's connection: prepared statements, writes gathered into one transaction per 50 ms, and what happens when
 * SQLite finds the file damaged or the disk sick while weir runs.
 *
 * A lock of another process: reads wait a moment, then answer from what is remembered; writes are owed, and made up for.
 * Damage: the file is set aside, a new one opened, the statement repeated there, and `onReplaced` told. Sickness: a
 * read answers as if nothing were stored, a write is dropped; both are logged. Neither fails a pull: a lost row costs a
 * question to the upstream or a re-hash.
 */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { MetadataLock, type Statement } from './lock.ts';
import { openMetadataFile, openMetadataReadOnly, openInMemory, replaceMetadataFile } from './file.ts';
import { markComplete } from './schema.ts';
import { isDamage, isLock, isSickness } from '../files/sqlite-errors.ts';

export type Row = Readonly<Record<string, SQLOutputValue>>;

const commitDelayMs = 50;
/** A disk that damages one catalog after the other gets no more of them in this run. */
const mostReplacements = 3;
/** A dead disk would otherwise write a line per request. */
const complaintIntervalMs = 10_000;

export interface MetadataDatabaseOptions {
  /** Or `:memory:`. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isReadOnly?: boolean;
}

export interface DatabaseListener {
  /** Called inside the transaction before it is committed, to write what was gathered in memory. */
  beforeCommit?(): void;
  afterCommit?(rowsChanged: number): void;
  /** What was read before may be wrong: the database was replaced, or a transaction was lost. */
  reset?(): void;
}

export class MetadataDatabase {
  readonly path: string;
  readonly #clock: Clock;
  readonly #lock: MetadataLock;
  readonly #logger: Logger;
  readonly #isReadOnly: boolean;
  readonly #listeners: DatabaseListener[] = [];
  readonly #statements = new Map<string, StatementSync>();
  #database: DatabaseSync;
  #isRebuildDue: boolean;
  #onReplaced: () => void = () => undefined;
  #timer: Timer | undefined;
  #rowsChanged = 0;
  #replacements = 0;
  #lastComplaintMs = Number.NEGATIVE_INFINITY;
  constructor({ path, clock, logger, isReadOnly = false }: MetadataDatabaseOptions) {
    this.path = path;
    this.#clock = clock;
    this.#lock = new MetadataLock(clock);
    this.#logger = logger;
    this.#isReadOnly = isReadOnly;
    if (isReadOnly) {
      this.#database = openMetadataReadOnly(path);
      this.#isRebuildDue = false;
    } else {
      const opened = openMetadataFile(path, clock.now(), logger);
      this.#database = opened.database;
      this.#isRebuildDue = !opened.isComplete;
    }
  }

  /** The database is new or took the place of a bad one, and nobody has called `rebuilt` since, in this run or before. */
  get isRebuildDue(): boolean {
    return this.#isRebuildDue;
  }

  rebuilt(): void {
    this.#isRebuildDue = false;
    this.#attempt(() => markComplete(this.#database), undefined);
  }

  /** Whether other threads may open `path` and see what this connection has committed. */
  get isShared(): boolean {
    return this.#database.isOpen && this.#database.location() !== null;
  }

  listen(listener: DatabaseListener): void {
    this.#listeners.push(listener);
  }

  onReplaced(listener: () => void): void {
    this.#onReplaced = listener;
  }

  /** Another process locks even readers out: what is not found may be there all the same. */
  get isLockedOut(): boolean {
    return this.#lock.isMet('reads');
  }

  get(sql: string, ...parameters: SQLInputValue[]): Row | undefined {
    if (this.isLockedOut) return undefined;
    return this.#attempt(() => this.#prepared(sql).get(...parameters), undefined);
  }

  all(sql: string, ...parameters: SQLInputValue[]): readonly Row[] {
    if (this.isLockedOut) return [];
    return this.#attempt<readonly Row[]>(() => this.#prepared(sql).all(...parameters), []);
  }

  /** Writes within the open transaction, or opens one. While another process holds the file it is owed. */
  run(sql: string, ...parameters: SQLInputValue[]): void {
    if (this.#begin()) this.#write({ sql, parameters });
    else this.#lock.owe({ sql, parameters });
    this.commitSoon();
  }

  /** Sees to it that `flush` is called within 50 ms. */
  commitSoon(): void {
    if (this.#isReadOnly) throw new Error('this catalog is open for reading only');
    this.#timer ??= this.#clock.setTimer(commitDelayMs, () => this.flush());
  }

  flush(): void {
    if (!this.#database.isOpen) return;
    for (const listener of this.#listeners) listener.beforeCommit?.();
    // Only now: what beforeCommit writes arms the timer again.
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#lock.hasOwed && !this.#begin()) this.commitSoon();
    if (!this.#database.isTransaction) return;
    const isCommitted = this.#attempt(() => {
      // Not in a transaction any more when this runs again in a replaced database.
      if (!this.#database.isTransaction) return false;
      this.#database.exec('COMMIT');
      return true;
    }, false);
    const rowsChanged = this.#rowsChanged;
    this.#rowsChanged = 0;
    if (isCommitted) for (const listener of this.#listeners) listener.afterCommit?.(rowsChanged);
    // The disk did not take the batch. Keeping it would let it grow without end.
    else if (this.#database.isTransaction) this.#attempt(() => this.#database.exec('ROLLBACK'), undefined);
  }

  /** Somebody has removed rows behind the backs of those who remember them. */
  forgetRead(): void {
    this.#forget();
  }

  /** Sets the database aside as if SQLite had just refused it. For damage that was found by looking for it. */
  replace(reason: unknown): void {
    if (this.#isReadOnly || !this.#database.isOpen) return;
    this.#statements.clear();
    this.#rowsChanged = 0;
    this.#database.close();
    this.#database =
      ++this.#replacements > mostReplacements
        ? openInMemory(this.path, reason, this.#logger).database
        : replaceMetadataFile(this.path, this.#clock.now(), reason, this.#logger).database;
    this.#isRebuildDue = true;
    this.#forget();
    this.#onReplaced();
  }

  /** Flushes. Idempotent. */
  close(): void {
    if (!this.#database.isOpen) return;
    if (!this.#isReadOnly) {
      this.flush();
      // Leaves one plain file for whoever copies the root. Readers on other threads may prevent it, which is no harm.
      this.#attempt(() => this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)'), undefined);
    }
    this.#statements.clear();
    this.#database.close();
  }

  /** False while another process holds the file. */
  #begin(): boolean {
    if (this.#database.isTransaction) return true;
    if (this.#lock.isMet('writes')) return false;
    try {
      this.#database.exec('BEGIN IMMEDIATE');
    } catch (error) {
      if (!isLock(error)) return true; // the write meets the same, and knows what to do
      this.#lock.met('writes');
      this.#complain(error);
      return false;
    }
    const owed = this.#lock.takeOwed();
    for (const statement of owed) this.#write(statement);
    // Meanwhile others have read what was there without it.
    if (owed.length > 0) this.#forget();
    return true;
  }

  #write({ sql, parameters }: Statement): void {
    this.#attempt(() => {
      if (!this.#database.isTransaction) this.#database.exec('BEGIN IMMEDIATE');
      this.#rowsChanged += Number(this.#prepared(sql).run(...parameters).changes);
    }, undefined);
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #attempt<T>(action: () => T, otherwise: T, isRepeated = false): T {
    try {
      return action();
    } catch (error) {
      if (this.#isReadOnly || !this.#database.isOpen) throw error;
      if (isDamage(error)) {
        this.replace(error);
        return isRepeated ? otherwise : this.#attempt(action, otherwise, true);
      }
      if (!isSickness(error)) throw error;
      if (isLock(error)) this.#lock.met('reads');
      // SQLite may have rolled the whole transaction back, or not: either way memory may know more than the file now.
      this.#forget();
      this.#complain(error);
      return otherwise;
    }
  }

  #forget(): void {
    for (const listener of this.#listeners) listener.reset?.();
  }

  #complain(error: unknown): void {
    const now = this.#clock.monotonic();
    if (now - this.#lastComplaintMs < complaintIntervalMs) return;
    this.#lastComplaintMs = now;
    this.#logger.error({ path: this.path, err: error }, 'the catalog cannot be read or written; weir goes on without');
  }
}
