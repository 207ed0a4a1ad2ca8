/** What can have happened to a cache root while no daemon looked after it. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export interface Damage {
  readonly name: string;
  readonly inflict: (root: string) => void;
  /** What the catalog alone knew is gone: repositories have to be proved again by the upstream. */
  readonly losesMeaning?: boolean;
}

const metadata = (root: string): string => join(root, 'weir', 'catalog.db');
const index = (root: string): string => join(root, 'index.json');

function overwrite(file: string, bytes: Uint8Array, at: number): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}

function withoutWal(root: string): void {
  for (const suffix of ['-wal', '-shm']) rmSync(metadata(root) + suffix, { force: true });
}

function sql(root: string, statement: (tables: readonly string[]) => string): void {
  const database = new DatabaseSync(metadata(root));
  const rows = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  database.exec(statement(rows.map((row) => String(row['name'])).filter((name) => !name.startsWith('sqlite_'))));
  database.close();
}

const junk = Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 167 + 13) & 0xff));
const hex = (digit: string): string => digit.repeat(64);

export const damages: readonly Damage[] = [
  { name: 'no catalog', inflict: (root) => (withoutWal(root), rmSync(metadata(root))) },
  { name: 'an empty catalog', inflict: (root) => (withoutWal(root), truncateSync(metadata(root), 0)) },
  {
    name: 'a catalog of which half is missing',
    inflict: (root) => (withoutWal(root), truncateSync(metadata(root), readFileSync(metadata(root)).length >> 1)),
  },
  {
    name: 'a catalog that is text',
    inflict: (root) => (withoutWal(root), writeFileSync(metadata(root), 'hello\n'.repeat(1000))),
  },
  {
    name: 'a catalog without its first page',
    inflict: (root) => (withoutWal(root), overwrite(metadata(root), new Uint8Array(4096), 0)),
  },
  {
    name: 'a catalog with junk in each page but the first',
    inflict: (root) => {
      withoutWal(root);
      for (let at = 4096; at < readFileSync(metadata(root)).length; at += 4096) overwrite(metadata(root), junk, at);
    },
  },
  { name: 'a catalog of a later version', inflict: (root) => sql(root, () => 'PRAGMA user_version = 9999') },
  {
    name: 'a catalog without tables',
    inflict: (root) => sql(root, (tables) => tables.map((name) => `DROP TABLE "${name}";`).join('')),
  },
  {
    name: 'a catalog with other tables of the same names',
    inflict: (root) =>
      sql(root, (tables) => tables.map((name) => `DROP TABLE "${name}"; CREATE TABLE "${name}" (x);`).join('')),
  },
  {
    name: 'a catalog that is a directory',
    inflict: (root) => (withoutWal(root), rmSync(metadata(root)), mkdirSync(metadata(root))),
  },
  { name: 'a write-ahead log that is junk', inflict: (root) => writeFileSync(`${metadata(root)}-wal`, junk) },
  { name: 'no index.json', inflict: (root) => rmSync(index(root)) },
  { name: 'an empty index.json', inflict: (root) => writeFileSync(index(root), '') },
  { name: 'an index.json that is junk', inflict: (root) => writeFileSync(index(root), junk) },
  {
    name: 'an index.json that lies',
    inflict: (root) =>
      writeFileSync(
        index(root),
        JSON.stringify({
          schemaVersion: 2,
          manifests: [{ mediaType: 'a/b', digest: `sha256:${hex('a')}`, size: -5 }, 7, null],
        }),
      ),
  },
  { name: 'an index.json of 100,000 levels', inflict: (root) => writeFileSync(index(root), '['.repeat(100_000)) },
  { name: 'an oci-layout that is junk', inflict: (root) => writeFileSync(join(root, 'oci-layout'), junk) },
  { name: 'no oci-layout', inflict: (root) => rmSync(join(root, 'oci-layout')) },
  { name: 'no mark of a clean stop', inflict: (root) => rmSync(join(root, 'weir', 'clean'), { force: true }) },
  { name: 'no lock file', inflict: (root) => rmSync(join(root, 'weir', 'lock'), { force: true }) },
  {
    name: 'partials with side files that are junk',
    inflict: (root) => {
      const ingest = join(root, 'weir', 'ingest');
      const names = [
        `sha256-${hex('b')}.0123456789ab.part`,
        `sha256-${hex('c')}.0123456789ab.part`,
        'x.part',
        '..part',
      ];
      for (const [at, name] of names.entries()) {
        writeFileSync(join(ingest, name), junk);
        writeFileSync(join(ingest, `${name}.json`), [junk, '{}', '', '['.repeat(50_000)][at] ?? '');
        writeFileSync(join(ingest, name.replace('.part', '.json')), '{"written":[[-5,1e99]]}');
      }
    },
  },
  {
    name: 'foreign files everywhere',
    inflict: (root) => {
      for (const place of ['.', 'blobs', 'blobs/sha256', 'weir', 'weir/ingest', 'weir/quarantine']) {
        mkdirSync(join(root, place, 'a directory'), { recursive: true });
        writeFileSync(join(root, place, 'README.md'), 'hello');
        symlinkSync('/etc/passwd', join(root, place, `link-${hex('d')}`));
      }
      mkdirSync(join(root, 'blobs', 'sha256', hex('e')));
      symlinkSync('/etc/passwd', join(root, 'blobs', 'sha256', hex('f')));
      mkdirSync(join(root, 'blobs', 'sha1'));
    },
  },
  {
    name: 'neither catalog nor index.json',
    losesMeaning: true,
    inflict: (root) => (withoutWal(root), rmSync(metadata(root)), rmSync(index(root))),
  },
  {
    name: 'no directory but blobs',
    losesMeaning: true,
    inflict: (root) => {
      for (const name of readdirSync(root))
        if (name !== 'blobs' && name !== 'oci-layout') rmSync(join(root, name), { recursive: true });
    },
  },
];
