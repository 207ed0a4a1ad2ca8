/** The tables of the catalog, as steps from each version to the next. A step that was released never changes. */
import { DatabaseSync } from 'node:sqlite';
import { isLogicError } from '../files/sqlite-errors.ts';

const migrations: readonly string[] = [
  `
  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    allocated_bytes INTEGER NOT NULL,
    last_used_ms INTEGER NOT NULL,
    is_pinned INTEGER NOT NULL DEFAULT 0,
    is_suspect INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX blobs_by_last_use ON blobs (last_used_ms) WHERE is_pinned = 0;
  CREATE INDEX suspect_blobs ON blobs (is_suspect) WHERE is_suspect = 1;

  -- COUNT and SUM over a million rows would hold up every look at the store's size; triggers keep these two right.
  CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    blobs INTEGER NOT NULL,
    allocated_bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO totals VALUES (1, 0, 0);
  CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
    UPDATE totals SET blobs = blobs + 1, allocated_bytes = allocated_bytes + NEW.allocated_bytes;
  END;
  CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
    UPDATE totals SET blobs = blobs - 1, allocated_bytes = allocated_bytes - OLD.allocated_bytes;
  END;
  CREATE TRIGGER blob_resized AFTER UPDATE OF allocated_bytes ON blobs BEGIN
    UPDATE totals SET allocated_bytes = allocated_bytes + NEW.allocated_bytes - OLD.allocated_bytes;
  END;

  CREATE TABLE manifests (
    digest TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    upstream TEXT NOT NULL,
    repository TEXT NOT NULL,
    is_public INTEGER,
    verdict_at_ms INTEGER,
    UNIQUE (upstream, repository)
  ) STRICT;

  CREATE TABLE links (
    repository_id INTEGER NOT NULL,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (repository_id, digest, kind)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX links_by_digest ON links (digest, kind);

  CREATE TABLE tags (
    repository_id INTEGER NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    checked_at_ms INTEGER NOT NULL,
    is_denied INTEGER NOT NULL DEFAULT 0,
    is_pinned INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, tag)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE listings (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    checked_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX listings_by_check ON listings (checked_at_ms);
  `,
  `
  -- Who gave the word, and for manifests the type as it was given under that repository.
  ALTER TABLE links ADD COLUMN origin TEXT NOT NULL DEFAULT 'legacy';
  ALTER TABLE links ADD COLUMN media_type TEXT;
  CREATE INDEX legacy_links ON links (repository_id) WHERE origin = 'legacy';
  -- From now on is_public says that some link of the repository counts for everybody.
  UPDATE links SET origin = 'anonymous' WHERE repository_id IN (SELECT id FROM repositories WHERE is_public = 1);
  ALTER TABLE repositories DROP COLUMN verdict_at_ms;

  -- Which upstreams have sent the bytes of a blob; is_public: and gave, or would have given, them to anybody.
  CREATE TABLE senders (
    digest TEXT NOT NULL,
    upstream TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    PRIMARY KEY (digest, upstream)
  ) STRICT, WITHOUT ROWID;

  -- What each manifest names: blobs and manifests. They count as part of its size and go with its bytes.
  CREATE TABLE edges (
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    PRIMARY KEY (parent, child)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX edges_by_child ON edges (child);
  CREATE TRIGGER edge_added AFTER INSERT ON edges BEGIN
    UPDATE totals SET allocated_bytes = allocated_bytes + 320;
  END;
  CREATE TRIGGER edge_removed AFTER DELETE ON edges BEGIN
    UPDATE totals SET allocated_bytes = allocated_bytes - 320;
  END;
  -- 1: all are kept; 0: too many, read the document; NULL: nobody has looked yet.
  ALTER TABLE manifests ADD COLUMN has_edges INTEGER;
  CREATE INDEX unread_manifests ON manifests (digest) WHERE has_edges IS NULL;
  CREATE TRIGGER bytes_gone AFTER DELETE ON blobs BEGIN
    DELETE FROM edges WHERE parent = OLD.digest;
    DELETE FROM senders WHERE digest = OLD.digest;
    UPDATE manifests SET has_edges = NULL WHERE digest = OLD.digest;
  END;
  `,
  `
  -- By what the file is known again (file-stamp). NULL: suspect, or written before this column.
  ALTER TABLE blobs ADD COLUMN file_stamp TEXT;
  DROP INDEX suspect_blobs;
  `,
  `
  -- When something of it was last written down, to the hour: whose rows go first when the catalog is too large.
  ALTER TABLE repositories ADD COLUMN used_at_ms INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX repositories_by_use ON repositories (used_at_ms);
  `,
];

export const schemaVersion = migrations.length;

/** `weir` in ASCII: in the header of a catalog that holds what can be known, which a new one does not yet. */
const completeId = 0x77656972;

/** Why a database cannot be used although SQLite reads it. */
export class SchemaError extends Error {
  readonly kind: 'newer' | 'foreign';

  constructor(kind: SchemaError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SchemaError';
    this.kind = kind;
  }
}

/** False for a new catalog until it has been rebuilt, also if the process ended in between. */
export function isComplete(database: DatabaseSync): boolean {
  return database.prepare('PRAGMA application_id').get()?.['application_id'] === completeId;
}

/** Part of the open transaction, if there is one. */
export function markComplete(database: DatabaseSync): void {
  database.exec(`PRAGMA application_id = ${completeId}`);
}

/** Brings an opened database to the current version, or to an earlier one, each step in a transaction of its own. */
export function migrate(database: DatabaseSync, target: number = schemaVersion): void {
  for (let version = versionOf(database); version < target; version++) {
    const step = migrations[version] ?? '';
    try {
      database.exec(`BEGIN; ${step}; PRAGMA user_version = ${version + 1}; COMMIT`);
    } catch (error) {
      if (!isLogicError(error)) throw error;
      throw new SchemaError('foreign', `its tables are not those of version ${version}`, { cause: error });
    }
  }
}

/** Throws SchemaError, or SQLite's own error, for a database that is damaged at first sight, newer, or not a catalog. */
export function checkSchema(database: DatabaseSync): void {
  const version = versionOf(database);
  if (version > schemaVersion) {
    throw new SchemaError('newer', `written by a newer weir (schema ${version}, known up to ${schemaVersion})`);
  }
  const found = tableNames(database);
  if (version === 0 && found.size > 0) throw new SchemaError('foreign', 'some other program wrote this database');
}

/** After migration: the schema is word for word ours, and every table has a readable root page. Throws what is wrong. */
export function probeTables(database: DatabaseSync): void {
  if (schemaText(database) !== currentSchema())
    throw new SchemaError('foreign', 'its tables are not those of a catalog');
  for (const table of tableNames(database)) database.prepare(`SELECT * FROM ${table} LIMIT 1`).get();
  if (database.prepare('SELECT 1 FROM totals').get() === undefined) {
    throw new SchemaError('foreign', 'its totals are missing');
  }
}

function currentSchema(): string {
  const database = new DatabaseSync(':memory:');
  try {
    migrate(database);
    return schemaText(database);
  } finally {
    database.close();
  }
}

function schemaText(database: DatabaseSync): string {
  return JSON.stringify(database.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name').all());
}

function tableNames(database: DatabaseSync): ReadonlySet<string> {
  const rows = database.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all();
  return new Set(rows.map((row) => String(row['name'])));
}

function versionOf(database: DatabaseSync): number {
  const version = database.prepare('PRAGMA user_version').get()?.['user_version'];
  return typeof version === 'number' ? version : 0;
}
