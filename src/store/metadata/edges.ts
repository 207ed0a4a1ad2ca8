/** What each stored manifest names. */
import { parseDigest, type Digest } from '../../oci/digest.ts';
import type { MetadataDatabase, Row } from '../sqlite/database.ts';
import type { LinkRecord, RepositoryKey } from '../contract/metadata.ts';
import { readLink } from './links.ts';
import type { RepositoryRows } from './repositories.ts';
import { bit, readable, textOf } from '../sqlite/columns.ts';

/** Of a manifest with more, none are kept: rows for a document of 4 MiB would be larger than itself. */
const maxEdges = 2000;

type LinkedParent = LinkRecord & { readonly digest: Digest };

export class EdgeRows {
  readonly #database: MetadataDatabase;
  readonly #repositories: RepositoryRows;
  /** Edges count as the size of their manifest. */
  readonly #onSizes: () => void;

  constructor(database: MetadataDatabase, repositories: RepositoryRows, onSizes: () => void) {
    this.#database = database;
    this.#repositories = repositories;
    this.#onSizes = onSizes;
  }

  /** What a stored manifest names; undefined: too many to keep, so that the document has to be read. */
  record(parent: Digest, children: readonly Digest[] | undefined): void {
    const isKept = children !== undefined && children.length <= maxEdges;
    this.#database.run('DELETE FROM edges WHERE parent = ?', parent);
    for (const child of isKept ? new Set(children) : []) {
      this.#database.run('INSERT INTO edges (parent, child) VALUES (?, ?)', parent, child);
    }
    this.#database.run('UPDATE manifests SET has_edges = ? WHERE digest = ?', bit(isKept), parent);
    this.#onSizes();
  }

  /** The manifests of this repository that name the digest, with their links, as far as edges are kept; at most `limit`. */
  namedBy(key: RepositoryKey, child: Digest, limit: number): readonly LinkedParent[] {
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

  /** Manifests linked at the repository whose documents have to be read for that, with their links; at most `limit`. */
  unread(key: RepositoryKey, limit: number): readonly LinkedParent[] {
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

  /** Stored manifests that nobody has looked at yet, by digest, behind `after`; at most `limit`. */
  toRead(after: string, limit: number): readonly Digest[] {
    const rows = this.#database.all(
      `SELECT digest FROM manifests WHERE has_edges IS NULL AND digest > ?
         AND EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = manifests.digest) ORDER BY digest LIMIT ?`,
      after,
      limit,
    );
    return readable(rows, (row) => parseDigest(textOf(row, 'digest') ?? ''));
  }
}

function readParent(row: Row): LinkedParent | undefined {
  const digest = parseDigest(textOf(row, 'digest') ?? '');
  return digest === undefined ? undefined : { digest, ...readLink(row) };
}
