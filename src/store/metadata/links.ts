/** Links: what each repository may serve, on whose word, and under which media type. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import type { MetadataDatabase, DatabaseListener, Row } from '../sqlite/database.ts';
import type { ContentKind, LinkRecord, RepositoryKey } from '../contract/metadata.ts';
import { originText, parseOrigin, rankOf } from '../contract/origin.ts';
import { readRepositoryKey, type RepositoryRows, repositoryText } from './repositories.ts';
import { integerOf, readable, textOf } from '../sqlite/columns.ts';

const hotLinks = 32_768;

export class LinkRows implements DatabaseListener {
  readonly #database: MetadataDatabase;
  readonly #repositories: RepositoryRows;
  /** A manifest's link was added or changed. */
  readonly #onManifest: () => void;
  /** Links that are there. Absence is not kept: the next fill may add one, and looking it up is rare. */
  readonly #hot: LRUCache<string, LinkRecord> | undefined;

  constructor(database: MetadataDatabase, repositories: RepositoryRows, isOwner: boolean, onManifest: () => void) {
    this.#database = database;
    this.#onManifest = onManifest;
    this.#repositories = repositories;
    this.#hot = isOwner ? new LRUCache({ max: hotLinks }) : undefined;
    if (isOwner) database.listen(this);
  }

  get(key: RepositoryKey, digest: Digest, kind: ContentKind): LinkRecord | undefined {
    const text = linkText(key, digest, kind);
    const hot = this.#hot?.get(text);
    if (hot !== undefined) return hot;
    const id = this.#repositories.id(key);
    if (id === undefined) return undefined;
    const row = this.#database.get(
      'SELECT origin, media_type FROM links WHERE repository_id = ? AND digest = ? AND kind = ?',
      id,
      digest,
      kind,
    );
    if (row === undefined) return undefined;
    const link = readLink(row);
    this.#hot?.set(text, link);
    return link;
  }

  has(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean {
    return this.get(key, digest, kind) !== undefined;
  }

  /** A word that proves less than the one that is there changes nothing; an equal one replaces it. */
  add(key: RepositoryKey, digest: Digest, kind: ContentKind, word: LinkRecord): void {
    const known = this.get(key, digest, kind);
    if (known !== undefined && rankOf(known.origin) > rankOf(word.origin)) return;
    const link = { origin: word.origin, mediaType: word.mediaType ?? known?.mediaType };
    if (known !== undefined && isSame(known, link)) return;
    const id = this.#repositories.idOrNew(key);
    if (id === undefined) return;
    // As it will be, also while the file cannot be written.
    this.#hot?.set(linkText(key, digest, kind), link);
    this.#database.run(
      `INSERT INTO links (repository_id, digest, kind, origin, media_type) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (repository_id, digest, kind) DO UPDATE SET origin = ?4, media_type = ?5`,
      id,
      digest,
      kind,
      originText(link.origin),
      link.mediaType ?? null,
    );
    if (link.origin.kind === 'anonymous' || link.origin.kind === 'operator') this.#repositories.opened(id);
    if (kind === 'manifest') this.#onManifest();
  }

  /** Repositories that hold a link to the digest, at most `limit`. */
  of(digest: Digest, kind: ContentKind, limit: number): readonly RepositoryKey[] {
    const rows = this.#database.all(
      `SELECT upstream, repository FROM links JOIN repositories ON id = repository_id
       WHERE digest = ? AND kind = ? LIMIT ?`,
      digest,
      kind,
      limit,
    );
    return readable(rows, readRepositoryKey);
  }

  /** Links of an upstream that rest on a credential's word. Reads all of them. */
  countOfCredentials(upstream: string): number {
    const row = this.#database.get(
      `SELECT COUNT(*) AS links FROM links JOIN repositories ON id = repository_id
       WHERE upstream = ? AND origin NOT IN ('anonymous', 'operator', 'client')`,
      upstream,
    );
    return row === undefined ? 0 : (integerOf(row, 'links') ?? 0);
  }

  /** Links only; the caller forgets the tags. */
  forgetAllOf(id: number): void {
    this.#hot?.clear();
    this.#database.run('DELETE FROM links WHERE repository_id = ?', id);
  }

  reset(): void {
    this.#hot?.clear();
  }
}

export function readLink(row: Row): LinkRecord {
  return { origin: parseOrigin(textOf(row, 'origin') ?? ''), mediaType: textOf(row, 'media_type') };
}

function isSame(one: LinkRecord, other: LinkRecord): boolean {
  return originText(one.origin) === originText(other.origin) && one.mediaType === other.mediaType;
}

function linkText(key: RepositoryKey, digest: Digest, kind: ContentKind): string {
  return `${kind}\n${digest}\n${repositoryText(key)}`;
}
