/** Repositories, and whether any link of each counts for everybody. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import { parseRepository } from '../../oci/reference.ts';
import type { MetadataDatabase, DatabaseListener, Row } from '../sqlite/database.ts';
import type { ListedRepository, RepositoryKey } from '../contract/metadata.ts';
import { factOf, integerOf, readable, textOf } from '../sqlite/columns.ts';

const hotRepositories = 4096;
const pageRows = 100;
/** How exactly the last use is known. */
const useStepMs = 3_600_000;

export class RepositoryRows implements DatabaseListener {
  readonly #database: MetadataDatabase;
  readonly #clock: Clock;
  readonly #ids: LRUCache<string, number> | undefined;
  /** When each was last said to be in use. */
  readonly #uses = new LRUCache<number, number>({ max: hotRepositories });

  constructor(database: MetadataDatabase, clock: Clock, isOwner: boolean) {
    this.#database = database;
    this.#clock = clock;
    this.#ids = isOwner ? new LRUCache({ max: hotRepositories }) : undefined;
    if (isOwner) database.listen(this);
  }

  /** The row of a repository that weir has met. */
  id(key: RepositoryKey): number | undefined {
    const text = repositoryText(key);
    const hot = this.#ids?.get(text);
    if (hot !== undefined) return hot;
    const row = this.#database.get(
      'SELECT id FROM repositories WHERE upstream = ? AND repository = ?',
      key.upstream,
      key.repository,
    );
    const id = row === undefined ? undefined : integerOf(row, 'id');
    if (id !== undefined) this.#ids?.set(text, id);
    return id;
  }

  /** For whoever writes about it, which counts as a use. Undefined only when the disk does not take the row. */
  idOrNew(key: RepositoryKey): number | undefined {
    const id = this.id(key) ?? this.#add(key);
    const now = Math.trunc(this.#clock.now());
    if (id === undefined || now - (this.#uses.get(id) ?? 0) < useStepMs) return id;
    this.#uses.set(id, now);
    this.#database.run('UPDATE repositories SET used_at_ms = ? WHERE id = ?', now, id);
    return id;
  }

  #add(key: RepositoryKey): number | undefined {
    this.#database.run(
      'INSERT INTO repositories (upstream, repository) VALUES (?, ?) ON CONFLICT DO NOTHING',
      key.upstream,
      key.repository,
    );
    return this.id(key);
  }

  /** Repositories of an upstream with at least one link, by byte, behind the name `after`. In pages, as long as somebody wants more. */
  *of(upstream: string, after = ''): Generator<ListedRepository, void> {
    for (let last = after; ;) {
      const rows = this.#database.all(
        `SELECT upstream, repository, is_public FROM repositories
         WHERE upstream = ? AND repository > ? AND EXISTS (SELECT 1 FROM links WHERE repository_id = id) ORDER BY repository LIMIT ?`,
        upstream,
        last,
        pageRows,
      );
      yield* readable(rows, (row) => {
        const key = readRepositoryKey(row);
        return key && { ...key, isPublic: factOf(row, 'is_public') };
      });
      const end = rows.at(-1);
      if (end === undefined || rows.length < pageRows) return;
      last = textOf(end, 'repository') ?? '\u{10ffff}';
    }
  }

  /** Some link of it counts for everybody now. */
  opened(id: number): void {
    this.#database.run('UPDATE repositories SET is_public = 1 WHERE id = ? AND is_public IS NOT 1', id);
  }

  reset(): void {
    this.#uses.clear();
    this.#ids?.clear();
  }
}

/** Repository names hold no line break, and an upstream's key is a host name or a word. */
export function repositoryText(key: RepositoryKey): string {
  return `${key.upstream}\n${key.repository}`;
}

export function readRepositoryKey(row: Row): RepositoryKey | undefined {
  const upstream = textOf(row, 'upstream');
  const repository = parseRepository(textOf(row, 'repository') ?? '');
  return upstream === undefined || repository === undefined ? undefined : { upstream, repository };
}
