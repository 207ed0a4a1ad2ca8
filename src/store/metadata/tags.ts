/** What each tag points to, as the upstream last said. */
import { LRUCache } from 'lru-cache';
import { parseDigest } from '../../oci/digest.ts';
import { parseTag, type Tag } from '../../oci/reference.ts';
import type { MetadataDatabase, DatabaseListener, Row } from '../sqlite/database.ts';
import type { RepositoryKey, TagKey, TagRecord } from '../contract/metadata.ts';
import { type Origin, parseOrigin } from '../contract/origin.ts';
import { readRepositoryKey, type RepositoryRows, repositoryText } from './repositories.ts';
import { bit, factOf, integerOf, readable, textOf } from '../sqlite/columns.ts';

const hotTags = 16_384;
/** What `is_denied` says of a tag that was not found since. */
const gone = 2;
/** As much as may be read without a pause. */
const pageRows = 100;

export class TagRows implements DatabaseListener {
  readonly #database: MetadataDatabase;
  readonly #repositories: RepositoryRows;
  readonly #hot: LRUCache<string, TagRecord> | undefined;
  readonly #changeListeners: (() => void)[] = [];
  #hasChanged = false;

  constructor(database: MetadataDatabase, repositories: RepositoryRows, isOwner: boolean) {
    this.#database = database;
    this.#repositories = repositories;
    this.#hot = isOwner ? new LRUCache({ max: hotTags }) : undefined;
    if (isOwner) database.listen(this);
  }

  get(key: TagKey): TagRecord | undefined {
    const text = tagText(key);
    const hot = this.#hot?.get(text);
    if (hot !== undefined) return hot;
    const id = this.#repositories.id(key);
    if (id === undefined) return undefined;
    const row = this.#database.get('SELECT * FROM tags WHERE repository_id = ? AND tag = ?', id, key.tag);
    const record = row === undefined ? undefined : readTagRecord(row);
    if (record !== undefined) this.#hot?.set(text, record);
    return record;
  }

  put(key: TagKey, record: TagRecord): void {
    const before = this.get(key);
    this.#hot?.delete(tagText(key));
    const id = this.#repositories.idOrNew(key);
    if (id === undefined) return;
    this.#database.run(
      `INSERT INTO tags (repository_id, tag, digest, media_type, size_bytes, checked_at_ms, is_denied)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
       ON CONFLICT (repository_id, tag)
       DO UPDATE SET digest = ?3, media_type = ?4, size_bytes = ?5, checked_at_ms = ?6, is_denied = ?7`,
      id,
      key.tag,
      record.digest,
      record.mediaType,
      record.sizeBytes,
      Math.trunc(record.checkedAtMs),
      record.isGone === true ? gone : bit(record.isDenied),
    );
    // A mere confirmation changes nothing that index.json says.
    if (before === undefined || !isSameBinding(before, record)) this.#hasChanged = true;
  }

  forget(key: TagKey): void {
    this.#hot?.delete(tagText(key));
    const id = this.#repositories.id(key);
    if (id === undefined) return;
    this.#hasChanged = true;
    this.#database.run('DELETE FROM tags WHERE repository_id = ? AND tag = ?', id, key.tag);
  }

  forgetAllOf(id: number): void {
    this.#hot?.clear();
    this.#hasChanged = true;
    this.#database.run('DELETE FROM tags WHERE repository_id = ?', id);
  }

  isPinned(key: TagKey): boolean {
    const id = this.#repositories.id(key);
    if (id === undefined) return false;
    const row = this.#database.get('SELECT is_pinned FROM tags WHERE repository_id = ? AND tag = ?', id, key.tag);
    return row !== undefined && factOf(row, 'is_pinned');
  }

  /** Without effect on a tag that is not there. */
  setPinned(key: TagKey, isPinned: boolean): void {
    const id = this.#repositories.id(key);
    if (id === undefined) return;
    this.#database.run('UPDATE tags SET is_pinned = ? WHERE repository_id = ? AND tag = ?', bit(isPinned), id, key.tag);
  }

  of(key: RepositoryKey): readonly Tag[] {
    const id = this.#repositories.id(key);
    if (id === undefined) return [];
    const rows = this.#database.all('SELECT tag FROM tags WHERE repository_id = ? ORDER BY tag', id);
    return readable(rows, (row) => parseTag(textOf(row, 'tag') ?? ''));
  }

  /** Every cached tag, for index.json. In pages, so that no statement stays open while the caller does something else: it would hold the log back. */
  *all(): Generator<TagKey & TagRecord & { readonly origin: Origin }> {
    let last: readonly [number, string] = [0, ''];
    for (;;) {
      const rows = this.#database.all(
        `SELECT upstream, repository, tags.*, (
           SELECT origin FROM links
           WHERE links.repository_id = tags.repository_id AND links.digest = tags.digest AND kind = 'manifest'
         ) AS origin FROM tags JOIN repositories ON id = repository_id
         WHERE (repository_id, tag) > (?, ?) ORDER BY repository_id, tag LIMIT ?`,
        ...last,
        pageRows,
      );
      yield* readable(rows, readFullTag);
      const end = rows.at(-1);
      if (end === undefined || rows.length < pageRows) return;
      last = [integerOf(end, 'repository_id') ?? Number.MAX_SAFE_INTEGER, textOf(end, 'tag') ?? ''];
    }
  }

  /** The next commit tells the listeners. */
  changed(): void {
    this.#hasChanged = true;
  }

  /** Calls `listener` after each commit that changes a tag or a manifest's link, so that index.json can follow. */
  onChanged(listener: () => void): void {
    this.#changeListeners.push(listener);
  }

  afterCommit(): void {
    if (!this.#hasChanged) return;
    this.#hasChanged = false;
    for (const listener of this.#changeListeners) listener();
  }

  reset(): void {
    this.#hot?.clear();
  }
}

function isSameBinding(one: TagRecord, other: TagRecord): boolean {
  return (
    one.digest === other.digest &&
    one.mediaType === other.mediaType &&
    one.sizeBytes === other.sizeBytes &&
    one.isDenied === other.isDenied &&
    one.isGone === other.isGone
  );
}

function readFullTag(row: Row): (TagKey & TagRecord & { readonly origin: Origin }) | undefined {
  const key = readRepositoryKey(row);
  const tag = parseTag(textOf(row, 'tag') ?? '');
  const record = readTagRecord(row);
  if (key === undefined || tag === undefined || record === undefined) return undefined;
  return { ...key, tag, ...record, origin: parseOrigin(textOf(row, 'origin') ?? '') };
}

function readTagRecord(row: Row): TagRecord | undefined {
  const digest = parseDigest(textOf(row, 'digest') ?? '');
  const mediaType = textOf(row, 'media_type');
  const sizeBytes = integerOf(row, 'size_bytes');
  const checkedAtMs = integerOf(row, 'checked_at_ms');
  if (digest === undefined || mediaType === undefined) return undefined;
  if (sizeBytes === undefined || checkedAtMs === undefined) return undefined;
  const isGone = integerOf(row, 'is_denied') === gone;
  const isDenied = isGone || factOf(row, 'is_denied');
  return { digest, mediaType, sizeBytes, checkedAtMs, isDenied, ...(isGone && { isGone }) };
}

function tagText(key: TagKey): string {
  return `${key.tag}\n${repositoryText(key)}`;
}
