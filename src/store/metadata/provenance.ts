/** About bytes: which upstreams have sent them, whether anybody could have had them, and what a manifest names. */
import { parseDigest, type Digest } from '../../oci/digest.ts';
import type { CatalogDatabase, Row } from '../sqlite/database.ts';
import type { LinkRecord, Provenance, RepositoryKey } from '../contract/metadata.ts';
import { readLink } from './links.ts';
import type { RepositoryRows } from './repositories.ts';
import { bit, factOf, readable, textOf } from '../sqlite/columns.ts';

/** Of a manifest with more, none are kept: rows for a document of 4 MiB would be larger than itself. */
export const maxEdges = 2000;

export class ProvenanceRows {
  readonly #database: CatalogDatabase;
  readonly #repositories: RepositoryRows;

  constructor(database: CatalogDatabase, repositories: RepositoryRows) {
    this.#database = database;
    this.#repositories = repositories;
  }

  addSender(digest: Digest, upstream: string, isPublic: boolean): void {
    this.#database.run(
      `INSERT INTO senders (digest, upstream, is_public) VALUES (?1, ?2, ?3)
       ON CONFLICT (digest, upstream) DO UPDATE SET is_public = 1 WHERE ?3 = 1 AND is_public = 0`,
      digest,
      upstream,
      bit(isPublic),
    );
  }

  provenance(digest: Digest, upstream: string): Provenance {
    const rows = this.#database.all('SELECT upstream, is_public FROM senders WHERE digest = ?', digest);
    return {
      isPublic: rows.some((row) => factOf(row, 'is_public')),
      isOwn: rows.some((row) => textOf(row, 'upstream') === upstream),
    };
  }

  recordEdges(parent: Digest, children: readonly Digest[] | undefined): void {
    const isKept = children !== undefined && children.length <= maxEdges;
    this.#database.run('DELETE FROM edges WHERE parent = ?', parent);
    for (const child of isKept ? new Set(children) : []) {
      this.#database.run('INSERT INTO edges (parent, child) VALUES (?, ?)', parent, child);
    }
    this.#database.run('UPDATE manifests SET has_edges = ? WHERE digest = ?', bit(isKept), parent);
  }

  namedBy(key: RepositoryKey, child: Digest, limit: number): readonly (LinkRecord & { readonly digest: Digest })[] {
    const id = this.#repositories.id(key);
    if (id === undefined) return [];
    const rows = this.#database.all(
      `SELECT links.digest, origin, links.media_type FROM edges CROSS JOIN links
       WHERE edges.child = ? AND repository_id = ? AND links.digest = edges.parent AND kind = 'manifest' LIMIT ?`,
      child,
      id,
      limit,
    );
    return readable(rows, readParent);
  }

  unreadManifests(key: RepositoryKey, limit: number): readonly (LinkRecord & { readonly digest: Digest })[] {
    const id = this.#repositories.id(key);
    if (id === undefined) return [];
    const rows = this.#database.all(
      `SELECT links.digest, origin, links.media_type FROM links CROSS JOIN manifests
       WHERE repository_id = ? AND kind = 'manifest' AND manifests.digest = links.digest
         AND (has_edges IS NULL OR has_edges = 0) LIMIT ?`,
      id,
      limit,
    );
    return readable(rows, readParent);
  }

  manifestsToRead(after: string, limit: number): readonly Digest[] {
    const rows = this.#database.all(
      `SELECT digest FROM manifests WHERE has_edges IS NULL AND digest > ?
         AND EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = manifests.digest) ORDER BY digest LIMIT ?`,
      after,
      limit,
    );
    return readable(rows, (row) => parseDigest(textOf(row, 'digest') ?? ''));
  }
}

function readParent(row: Row): (LinkRecord & { readonly digest: Digest }) | undefined {
  const digest = parseDigest(textOf(row, 'digest') ?? '');
  return digest === undefined ? undefined : { digest, ...readLink(row) };
}
