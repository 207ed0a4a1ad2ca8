/** Media types and sizes of manifests. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import type { MetadataDatabase, DatabaseListener } from '../sqlite/database.ts';
import type { ManifestRecord } from '../contract/metadata.ts';
import { integerOf, textOf } from '../sqlite/columns.ts';

const hotManifests = 16_384;

export class ManifestRows implements DatabaseListener {
  readonly #database: MetadataDatabase;
  readonly #hot: LRUCache<Digest, ManifestRecord> | undefined;

  constructor(database: MetadataDatabase, isOwner: boolean) {
    this.#database = database;
    this.#hot = isOwner ? new LRUCache({ max: hotManifests }) : undefined;
    if (isOwner) database.listen(this);
  }

  get(digest: Digest): ManifestRecord | undefined {
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

  record({ digest, mediaType, sizeBytes }: ManifestRecord): void {
    this.#hot?.delete(digest);
    this.#database.run(
      `INSERT INTO manifests (digest, media_type, size_bytes) VALUES (?1, ?2, ?3)
       ON CONFLICT (digest) DO UPDATE SET media_type = ?2, size_bytes = ?3`,
      digest,
      mediaType,
      sizeBytes,
    );
  }

  reset(): void {
    this.#hot?.clear();
  }
}
