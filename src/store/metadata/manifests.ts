/** Media types of manifests, and the listings (tags/list pages, referrers) that weir keeps as text. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import type { CatalogDatabase, DatabaseListener } from '../sqlite/database.ts';
import type { ListingRecord, ManifestRecord } from '../contract/metadata.ts';
import { integerOf, textOf } from '../sqlite/columns.ts';

const hotManifests = 16_384;
/** Clients choose part of a listing's key, so the table needs a bound; the least recently checked go first. */
const mostListings = 8192;
const putsBetweenTrims = 256;

export class DocumentRows implements DatabaseListener {
  readonly #database: CatalogDatabase;
  readonly #hot: LRUCache<Digest, ManifestRecord> | undefined;
  #puts = 0;

  constructor(database: CatalogDatabase, isOwner: boolean) {
    this.#database = database;
    this.#hot = isOwner ? new LRUCache({ max: hotManifests }) : undefined;
    if (isOwner) database.listen(this);
  }

  manifest(digest: Digest): ManifestRecord | undefined {
    const hot = this.#hot?.get(digest);
    if (hot !== undefined) return hot;
    const row = this.#database.get('SELECT media_type, size_bytes FROM manifests WHERE digest = ?', digest) ?? {};
    const mediaType = textOf(row, 'media_type');
    const sizeBytes = integerOf(row, 'size_bytes');
    if (mediaType === undefined || sizeBytes === undefined) return undefined;
    const record = { digest, mediaType, sizeBytes };
    this.#hot?.set(digest, record);
    return record;
  }

  recordManifest({ digest, mediaType, sizeBytes }: ManifestRecord): void {
    this.#hot?.delete(digest);
    this.#database.run(
      `INSERT INTO manifests (digest, media_type, size_bytes) VALUES (?1, ?2, ?3)
       ON CONFLICT (digest) DO UPDATE SET media_type = ?2, size_bytes = ?3`,
      digest,
      mediaType,
      sizeBytes,
    );
  }

  listing(key: string): ListingRecord | undefined {
    const row = this.#database.get('SELECT body, checked_at_ms FROM listings WHERE key = ?', key) ?? {};
    const body = textOf(row, 'body');
    const checkedAtMs = integerOf(row, 'checked_at_ms');
    return body === undefined || checkedAtMs === undefined ? undefined : { body, checkedAtMs };
  }

  putListing(key: string, { body, checkedAtMs }: ListingRecord): void {
    this.#database.run(
      `INSERT INTO listings (key, body, checked_at_ms) VALUES (?1, ?2, ?3)
       ON CONFLICT (key) DO UPDATE SET body = ?2, checked_at_ms = ?3`,
      key,
      body,
      Math.trunc(checkedAtMs),
    );
    if (++this.#puts % putsBetweenTrims !== 0) return;
    this.#database.run(
      `DELETE FROM listings WHERE rowid IN
       (SELECT rowid FROM listings ORDER BY checked_at_ms DESC LIMIT -1 OFFSET ?)`,
      mostListings,
    );
  }

  forgetListing(key: string): void {
    this.#database.run('DELETE FROM listings WHERE key = ?', key);
  }

  forget(): void {
    this.#hot?.clear();
  }
}
