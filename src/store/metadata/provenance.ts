/** About bytes: which upstreams have sent them, and whether anybody could have had them. */
import type { Digest } from '../../oci/digest.ts';
import type { MetadataDatabase } from '../sqlite/database.ts';
import type { Provenance } from '../contract/metadata.ts';
import { bit, factOf, textOf } from '../sqlite/columns.ts';

export class ProvenanceRows {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** This upstream has sent the bytes; `isPublic` as strangers get them, which stays true once it is. */
  addSender(digest: Digest, upstream: string, isPublic: boolean): void {
    this.#database.run(
      `INSERT INTO senders (digest, upstream, is_public) VALUES (?1, ?2, ?3)
       ON CONFLICT (digest, upstream) DO UPDATE SET is_public = 1 WHERE ?3 = 1 AND is_public = 0`,
      digest,
      upstream,
      bit(isPublic),
    );
  }

  get(digest: Digest, upstream: string): Provenance {
    const rows = this.#database.all('SELECT upstream, is_public FROM senders WHERE digest = ?', digest);
    return {
      isPublic: rows.some((row) => factOf(row, 'is_public')),
      isOwn: rows.some((row) => textOf(row, 'upstream') === upstream),
    };
  }
}
