/**
 * Makes a cache root that looks as if weir had pulled very many small images: files, rows, links, tags and index.json all
 * there, stopped in order. Rows are written in bulk into weir's own schema; 10^6 blobs take about a minute.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { formatStamp, stampOf } from '../../src/store/contract/file-stamp.ts';
import { IndexFile } from '../../src/store/layout/index-file.ts';
import { openStore } from '../../src/store/open.ts';
import { blobPath, storePaths } from '../../src/store/files/paths.ts';
import { writeCleanMarker } from '../../src/store/root/root.ts';
import { Metadata } from '../../src/store/metadata/metadata.ts';

export interface ManyBlobsOptions {
  /** Absent or empty; made and filled. */
  readonly root: string;
  /** Files under `blobs/`: every tenth is a manifest, the others its config and layers. Rounded up to whole images. */
  readonly blobs: number;
  /** Default `lab`. */
  readonly upstream?: string;
  /**
   * Bytes of each config and layer. Default: as many as its text has, about 20. With a size, the files are sparse: as
   * large as that, without content on disk, and their digests are not those of their bytes.
   */
  readonly sparseBytes?: number;
  /** Removes the mark of an orderly stop, as a kill leaves it. Default false. */
  readonly isUnclean?: boolean;
}

export interface ManyBlobs {
  readonly blobs: number;
  readonly images: number;
  readonly repositories: number;
  /** The image by its number from 0 on, in order of last use: image 0 is the first to be evicted. */
  image(index: number): ManyBlobsImage;
}

export interface ManyBlobsImage {
  readonly repository: string;
  readonly tag: string;
  readonly manifest: Digest;
  /** The config and the layers. */
  readonly blobs: readonly Digest[];
}

export const blobsPerImage = 10;
const tagsPerRepository = 10;
const blockBytes = 4096;

export async function makeManyBlobs(options: ManyBlobsOptions): Promise<ManyBlobs> {
  const { root, upstream = 'lab', isUnclean = false } = options;
  const images = Math.ceil(options.blobs / blobsPerImage);
  const opening = { root, partialTtlMs: 86_400_000, clock: systemClock, logger: silentLogger };
  const first = await openStore(opening);
  await first.recovered;
  await first.close();
  fill(options, images, upstream);
  await writeIndex(root);
  const paths = storePaths(root);
  if (isUnclean) await rm(paths.clean);
  else await writeCleanMarker(paths, { stoppedAtMs: Date.now() });
  return {
    blobs: images * blobsPerImage,
    images,
    repositories: Math.ceil(images / tagsPerRepository),
    image: (index) => build(index, options.sparseBytes).image,
  };
}

function fill(options: ManyBlobsOptions, images: number, upstream: string): void {
  const paths = storePaths(options.root);
  const database = new DatabaseSync(paths.metadata);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN');
  const addBlob = database.prepare(
    'INSERT INTO blobs (digest, size_bytes, allocated_bytes, last_used_ms, file_stamp) VALUES (?, ?, ?, ?, ?)',
  );
  const addManifest = database.prepare('INSERT INTO manifests VALUES (?, ?, ?, 1)');
  const addRepository = database.prepare('INSERT INTO repositories (id, upstream, repository) VALUES (?, ?, ?)');
  const addLink = database.prepare(`INSERT INTO links VALUES (?, ?, ?, 'anonymous', NULL)`);
  const addSender = database.prepare('INSERT INTO senders VALUES (?, ?, 1)');
  const addEdge = database.prepare('INSERT INTO edges VALUES (?, ?)');
  const addTag = database.prepare(
    'INSERT INTO tags (repository_id, tag, digest, media_type, size_bytes, checked_at_ms) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const nowMs = Date.now();
  for (let index = 0; index < images; index++) {
    const { image, files } = build(index, options.sparseBytes);
    const repositoryId = 1 + Math.floor(index / tagsPerRepository);
    if (index % tagsPerRepository === 0) addRepository.run(repositoryId, upstream, image.repository);
    for (const { digest, bytes, sizeBytes } of files) {
      const file = openSync(blobPath(paths, digest), 'wx', 0o444);
      if (bytes === undefined) ftruncateSync(file, sizeBytes);
      else writeSync(file, bytes);
      const stamp = formatStamp(stampOf(fstatSync(file, { bigint: true })));
      closeSync(file);
      const allocatedBytes = bytes === undefined ? 0 : Math.ceil(sizeBytes / blockBytes) * blockBytes;
      if (digest !== image.manifest) addEdge.run(image.manifest, digest);
      addBlob.run(digest, sizeBytes, allocatedBytes, nowMs - images + index, stamp);
      addSender.run(digest, upstream);
      addLink.run(repositoryId, digest, digest === image.manifest ? 'manifest' : 'blob');
    }
    const manifestBytes = files.at(-1)?.sizeBytes ?? 0;
    addManifest.run(image.manifest, mediaTypes.ociManifest, manifestBytes);
    addTag.run(repositoryId, image.tag, image.manifest, mediaTypes.ociManifest, manifestBytes, nowMs);
  }
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
}

async function writeIndex(root: string): Promise<void> {
  const paths = storePaths(root);
  const parts = { clock: systemClock, logger: silentLogger };
  const metadata = new Metadata({ path: paths.metadata, ...parts });
  const index = new IndexFile({ path: paths.index, metadata, ...parts });
  index.schedule();
  await index.close();
  metadata.close();
}

interface BuiltFile {
  readonly digest: Digest;
  /** Undefined for a sparse file. */
  readonly bytes: Buffer | undefined;
  readonly sizeBytes: number;
}

/** The manifest comes last. */
function build(
  index: number,
  sparseBytes: number | undefined,
): { readonly image: ManyBlobsImage; readonly files: readonly BuiltFile[] } {
  const files: BuiltFile[] = Array.from({ length: blobsPerImage - 1 }, (_, position) => {
    const bytes = Buffer.from(position === 0 ? `{"image":${index}}` : `layer ${position} of ${index}`);
    const digest = digestOf(bytes);
    return sparseBytes === undefined
      ? { digest, bytes, sizeBytes: bytes.byteLength }
      : { digest, bytes: undefined, sizeBytes: sparseBytes };
  });
  const [config, ...layers] = files.map(({ digest, sizeBytes }, position) => ({
    mediaType: position === 0 ? mediaTypes.ociConfig : mediaTypes.ociLayerGzip,
    digest,
    size: sizeBytes,
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }));
  const manifest = digestOf(bytes);
  const image = {
    repository: `team/app-${Math.floor(index / tagsPerRepository)}`,
    tag: `v${index % tagsPerRepository}`,
    manifest,
    blobs: files.map(({ digest }) => digest),
  };
  return { image, files: [...files, { digest: manifest, bytes, sizeBytes: bytes.byteLength }] };
}
