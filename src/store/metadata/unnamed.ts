/** Linked manifests that a walk from another one of the same repository and word does not lead to: index.json names them. */
import { type Digest, parseDigest } from '../../oci/digest.ts';
import type { MetadataDatabase, Row } from '../sqlite/database.ts';
import type { LinkedManifest } from '../contract/metadata.ts';
import { parseOrigin } from '../contract/origin.ts';
import { readRepositoryKey } from './repositories.ts';
import { integerOf, readable, textOf } from '../sqlite/columns.ts';

/** As many manifests as may be looked through without a pause. */
const pageRows = 100;

/** Page by page, so that other work gets its turn and no statement stays open; a page may have none. */
export function* topManifests(database: MetadataDatabase): Generator<readonly LinkedManifest[], void> {
  for (let after: string | undefined = ''; after !== undefined;) {
    const end: string | undefined = pageEnd(database, after);
    const rows = database.all(
      `SELECT upstream, repository, manifests.digest, manifests.size_bytes, links.origin,
         COALESCE(links.media_type, manifests.media_type) AS media_type
       FROM manifests CROSS JOIN links ON links.digest = manifests.digest AND kind = 'manifest'
         JOIN repositories ON id = repository_id
       WHERE manifests.digest > ?1 AND (?2 IS NULL OR manifests.digest <= ?2)
         AND EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = manifests.digest)
         AND NOT EXISTS (
           SELECT 1 FROM edges JOIN links AS above ON above.digest = parent AND above.kind = 'manifest'
           WHERE child = manifests.digest AND above.repository_id = links.repository_id
             AND above.origin = links.origin AND EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = parent)
         )`,
      after,
      end ?? null,
    );
    yield readable(rows, readLinked);
    after = end;
  }
}

/** Undefined: the rest is the last page. */
function pageEnd(database: MetadataDatabase, after: string): Digest | undefined {
  const row = database.get(
    'SELECT digest FROM manifests WHERE digest > ? ORDER BY digest LIMIT 1 OFFSET ?',
    after,
    pageRows - 1,
  );
  return row === undefined ? undefined : parseDigest(textOf(row, 'digest') ?? '');
}

function readLinked(row: Row): LinkedManifest | undefined {
  const key = readRepositoryKey(row);
  const digest = parseDigest(textOf(row, 'digest') ?? '');
  const mediaType = textOf(row, 'media_type');
  const sizeBytes = integerOf(row, 'size_bytes');
  if (key === undefined || digest === undefined || mediaType === undefined || sizeBytes === undefined) return undefined;
  return { ...key, digest, mediaType, sizeBytes, origin: parseOrigin(textOf(row, 'origin') ?? '') };
}
