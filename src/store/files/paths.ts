/**
 * The layout of a cache root. No other file joins paths below it.
 *
 * ```
 * <root>/oci-layout  index.json  blobs/sha256/<hex>  blobs/sha512/<hex>
 * <root>/weir/version  clean  lock  catalog.db  ingest/<alg>-<hex>.<rand>.part + .json  quarantine/<alg>-<hex>.<time>
 * ```
 *
 * Names come from parsed values only: an algorithm out of two, lower-case hexadecimal digits, and our own random text.
 */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex, parseDigest } from '../../oci/digest.ts';
import { layoutBlobsDirectory, layoutFile, layoutIndexFile } from '../../oci/layout.ts';

/** Raised when an older weir could not read what this one writes. */
export const rootVersion = 1;

export const blobAlgorithms: readonly DigestAlgorithm[] = ['sha256', 'sha512'];

const partSuffix = '.part';
const sideSuffix = '.json';
/** What `writeFileAtomic` may leave behind of the files in the root and in `weir/`, and nothing that somebody else makes. */
const temporaryName =
  /^(?:oci-layout|index\.json|version|clean|index\.before-weir\.json|catalog\.db(?:-wal|-shm|-journal)?)\.[0-9a-f]{12}\.tmp$/;
const ingestName = /^(?:sha256|sha512)-[0-9a-f]+\.[0-9a-f]{12}\.(?:part|json|json\.[0-9a-f]{12}\.tmp)$/;
const badMetadataName = /^catalog\.db\.bad-[0-9]+(?:-wal|-shm|-journal)?$/;
const partName = /^(sha256|sha512)-([0-9a-f]+)\.[0-9a-f]{12}\.part$/;

export interface StorePaths {
  readonly root: string;
  readonly layout: string;
  readonly index: string;
  readonly blobs: string;
  /** The directory of everything that is not part of the OCI image layout. */
  readonly own: string;
  readonly version: string;
  /** Present only while no daemon runs and the last one stopped in order. */
  readonly clean: string;
  readonly lock: string;
  readonly metadata: string;
  readonly ingest: string;
  readonly quarantine: string;
  /** Where the index of a layout that weir did not write itself is kept before the first rewrite. */
  readonly foreignIndex: string;
}

export function storePaths(root: string): StorePaths {
  const top = resolve(root);
  const own = join(top, 'weir');
  return {
    root: top,
    layout: join(top, layoutFile),
    index: join(top, layoutIndexFile),
    blobs: join(top, layoutBlobsDirectory),
    own,
    version: join(own, 'version'),
    clean: join(own, 'clean'),
    lock: join(own, 'lock'),
    metadata: join(own, 'catalog.db'),
    ingest: join(own, 'ingest'),
    quarantine: join(own, 'quarantine'),
    foreignIndex: join(own, 'index.before-weir.json'),
  };
}

export function blobDirectory(paths: StorePaths, algorithm: DigestAlgorithm): string {
  return join(paths.blobs, algorithm);
}

export function blobPath(paths: StorePaths, digest: Digest): string {
  return join(blobDirectory(paths, digestAlgorithm(digest)), digestHex(digest));
}

/** The digest that a directory entry of `blobs/<algorithm>` stands for. */
export function digestOfBlobName(algorithm: DigestAlgorithm, name: string): Digest | undefined {
  return parseDigest(`${algorithm}:${name}`);
}

export function newPartName(digest: Digest): string {
  return `${stem(digest)}.${randomBytes(6).toString('hex')}${partSuffix}`;
}

export function digestOfPartName(name: string): Digest | undefined {
  const match = partName.exec(name);
  return match === null ? undefined : parseDigest(`${match[1]}:${match[2]}`);
}

export function partPath(paths: StorePaths, name: string): string {
  return join(paths.ingest, name);
}

/** The name of the side file that belongs to a `.part`. */
export function sideName(name: string): string {
  return `${name.slice(0, -partSuffix.length)}${sideSuffix}`;
}

/** The name of the `.part` that a side file belongs to; undefined for any other name. */
export function partNameOfSide(name: string): string | undefined {
  return name.endsWith(sideSuffix) ? `${name.slice(0, -sideSuffix.length)}${partSuffix}` : undefined;
}

export function quarantinePath(paths: StorePaths, digest: Digest, atMs: number): string {
  return join(paths.quarantine, `${stem(digest)}.${atMs}`);
}

/** What `writeFileAtomic` may leave behind in the root or in `weir/` when the process is killed. */
export function isTemporaryName(name: string): boolean {
  return temporaryName.test(name);
}

/** A name that weir makes in the ingest directory: an ingest, its side file, or what a killed write left of one. */
export function isIngestName(name: string): boolean {
  return ingestName.test(name);
}

/** Where a catalog that cannot be used goes; its `-wal` and `-shm` follow it. */
export function badMetadataPath(metadata: string, atMs: number): string {
  return `${metadata}.bad-${atMs}`;
}

export function isBadMetadataName(name: string): boolean {
  return badMetadataName.test(name);
}

/** The files that SQLite keeps beside a database. */
export const metadataSuffixes: readonly string[] = ['', '-wal', '-shm', '-journal'];

function stem(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}
