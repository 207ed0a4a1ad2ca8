/**
 * What a catalog of version 1 did not write down is settled at the first start of this version, by what is configured
 * then: links whose repository had no public verdict, who sent which bytes, and which lists a credential had brought.
 */
import type { MetadataDatabase } from '../sqlite/database.ts';
import { type Origin, originText, unknownPlace } from '../contract/origin.ts';
import { textOf } from '../sqlite/columns.ts';

export interface LegacyUpstream {
  /** Of its links: by the credential that is configured now, else by anybody. */
  readonly origin: Origin;
  /** Its `access` is `all`: what was listed stays with whoever has the credential. */
  readonly isAll: boolean;
}

/** Undefined for an upstream that is not configured. */
export type LegacyUpstreams = (upstream: string) => LegacyUpstream | undefined;

export function settleLegacy(database: MetadataDatabase, upstreams: LegacyUpstreams): void {
  if (database.get(`SELECT 1 FROM links WHERE origin = 'legacy' LIMIT 1`) === undefined && !hasUnsent(database)) return;
  for (const row of database.all('SELECT key FROM listings'))
    settleListing(database, textOf(row, 'key') ?? '', upstreams);
  for (const row of database.all('SELECT DISTINCT upstream FROM repositories')) {
    const upstream = textOf(row, 'upstream') ?? '';
    const origin = legacyOrigin(upstreams, upstream);
    database.run(
      `UPDATE links SET origin = ?1 WHERE origin = 'legacy'
         AND repository_id IN (SELECT id FROM repositories WHERE upstream = ?2)`,
      originText(origin),
      upstream,
    );
    if (origin.kind === 'anonymous') database.run('UPDATE repositories SET is_public = 1 WHERE upstream = ?', upstream);
  }
  // Nobody knows any more who sent what: every upstream that has a link to it, and to strangers only what no credential
  // has a link to.
  database.run(
    `INSERT INTO senders (digest, upstream, is_public)
     SELECT digest, upstream, MIN(origin = 'anonymous') FROM links JOIN repositories ON id = repository_id
     WHERE digest IN (SELECT digest FROM blobs) GROUP BY digest, upstream
     ON CONFLICT DO NOTHING`,
  );
  database.run(
    `UPDATE senders SET is_public = 0 WHERE is_public = 1
       AND digest IN (SELECT digest FROM links WHERE origin NOT IN ('anonymous', 'operator'))`,
  );
  database.flush();
}

export function legacyOrigin(upstreams: LegacyUpstreams, upstream: string): Origin {
  return upstreams(upstream)?.origin ?? { kind: 'credential', place: unknownPlace };
}

/** Links, and not one sender: a catalog in which every repository had a public verdict. */
function hasUnsent(database: MetadataDatabase): boolean {
  return (
    database.get('SELECT 1 FROM links LIMIT 1') !== undefined &&
    database.get('SELECT 1 FROM senders LIMIT 1') === undefined
  );
}

function settleListing(database: MetadataDatabase, key: string, upstreams: LegacyUpstreams): void {
  const [, name, repository] = key.split(' ');
  const known = upstreams(name ?? '');
  if (known?.isAll === true) {
    database.run(`UPDATE OR REPLACE listings SET key = 'all ' || ?1 WHERE key = ?1`, key);
    return;
  }
  if (known?.origin.kind === 'anonymous') return;
  const isPublic = database.get(
    'SELECT 1 FROM repositories WHERE upstream = ? AND repository = ? AND is_public = 1',
    name ?? '',
    repository ?? '',
  );
  if (isPublic === undefined) database.run('DELETE FROM listings WHERE key = ?', key);
}
