/** Opening a cache root as a whole: the parts of this room, put together and taken apart in the right order. */
import { readdir, realpath } from 'node:fs/promises';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { BlobFiles } from './blobs/blobs.ts';
import { type BlobStore, StoreError } from './contract/blob-store.ts';
import { MetadataTrim } from './metadata/trim.ts';
import { Checkpointer } from './sqlite/checkpointer.ts';

import { DiskStore } from './disk/store.ts';
import { learnEdges } from './recovery/edges.ts';
import { IndexFile } from './layout/index-file.ts';
import { IngestFiles } from './ingest/ingests.ts';
import { storeError } from './files/errors.ts';
import { Overhead } from './disk/overhead.ts';
import { type LegacyUpstreams, settleLegacy } from './recovery/legacy.ts';
import { type StorePaths, storePaths } from './files/paths.ts';
import { Quarantine } from './blobs/quarantine.ts';
import { rebuildMetadata } from './recovery/rebuild.ts';
import { Recovery, type RecoverySummary } from './recovery/recovery.ts';
import { Reproof } from './blobs/reproof.ts';
import { inspectRoot, openRoot, type Root, writeCleanMarker } from './root/root.ts';
import { closedPlace } from './root/tree.ts';
import { ScratchFiles } from './files/scratch.ts';
import { Metadata } from './metadata/metadata.ts';

export interface OpenStoreOptions {
  /** Created when it does not exist. */
  readonly root: string;
  /** Partials of earlier runs that are older are removed. */
  readonly partialTtlMs: number;
  /** What the catalog may take before rows that nothing needs are removed from it, and what counts of it. Default: all. */
  readonly mostMetadataBytes?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For what a catalog of an earlier version did not know. Default: no upstream is configured. */
  readonly legacy?: LegacyUpstreams;
}

export interface OpenedStore {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  /** For bytes that are in no file of the store. */
  readonly scratch: ScratchFiles;
  /** `flush` brings index.json up to date now. */
  readonly index: Pick<IndexFile, 'flush'>;
  /** The last daemon stopped in order. */
  readonly wasClean: boolean;
  /** The first walk through the root, beside serving. Never rejects. */
  readonly recovered: Promise<RecoverySummary>;
  /** Flushes everything, marks the stop as clean, gives the root back. Idempotent. */
  close(): Promise<void>;
}

const leastMetadataBytes = 4 * 1024 * 1024;

/** What the catalog may take of a cache of `maxBytes`: a sixteenth, at least 4 MiB. */
export function metadataShare(maxBytes: number): number {
  return Math.max(Math.floor(maxBytes / 16), leastMetadataBytes);
}

/** Takes the root for this process. Rejects with StoreError: `locked`, `layout`, `full`, `sick`. */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  const paths = await pathsOf(options.root);
  const root = await openRoot(paths, options.logger);
  const closed = await closedPlace(paths);
  // What is here is served all the same.
  if (closed !== undefined)
    options.logger.warn(
      { ...closed },
      'this user cannot write to a part of the cache root: little or nothing is stored',
    );
  try {
    return await assemble(options, paths, root, await readdir(paths.ingest));
  } catch (error) {
    root.lock.release();
    throw storeError(error, `opening the cache root ${paths.root}`);
  }
}

/**
 * Looks at a root that another thread or process owns, or nobody: no lock, no recovery, nothing is written. A blob that
 * the catalog does not know is suspect.
 */
export async function openStoreForReading(
  options: Omit<OpenStoreOptions, 'partialTtlMs' | 'legacy'>,
): Promise<Pick<OpenedStore, 'store' | 'metadata' | 'close'>> {
  const { clock, logger } = options;
  const paths = await pathsOf(options.root);
  if (!(await inspectRoot(paths))) throw new StoreError('layout', `${paths.root} is not a weir cache`);
  let metadata: Metadata;
  try {
    metadata = new Metadata({ path: paths.metadata, clock, logger, isReadOnly: true });
  } catch (error) {
    throw storeError(error, `reading the catalog ${paths.metadata}`);
  }
  const quarantine = new Quarantine(paths);
  const now = (): number => clock.now();
  const looking = { paths, metadata, quarantine, stoppedAtMs: undefined, logger, now, isReadOnly: true };
  const blobs = new BlobFiles(looking);
  const ingests = new IngestFiles({ paths, blobs, logger, now, names: [], partialTtlMs: 0 });
  const overhead = new Overhead(paths, quarantine, clock, logger);
  const store = new DiskStore({ paths, metadata, blobs, ingests, overhead, isReadOnly: true });
  const close = async (): Promise<void> => {
    await store.close();
    metadata.close();
  };
  return { store, metadata, close };
}

/** The path of the root may lead over links; where they lead is settled once. */
async function pathsOf(root: string): Promise<StorePaths> {
  return storePaths(await realpath(root).catch(() => root)); // what keeps it from being found is said by whoever opens it
}

async function assemble(
  options: OpenStoreOptions,
  paths: StorePaths,
  root: Root,
  names: readonly string[],
): Promise<OpenedStore> {
  const { clock, logger, partialTtlMs, mostMetadataBytes = Infinity } = options;
  const { cleanStop, lock } = root;
  const now = (): number => clock.now();
  const metadata = new Metadata({ path: paths.metadata, clock, logger });
  const legacy = options.legacy ?? ((): undefined => undefined);
  settleLegacy(metadata.database, legacy);
  const thread = new Checkpointer(metadata.database, logger);
  const quarantine = new Quarantine(paths);
  const reproof: Reproof = new Reproof({
    paths,
    logger,
    renew: (digest, stamp) => blobs.renew(digest, stamp),
    quarantine: (digest, reason) => blobs.quarantine(digest, reason),
  });
  const records = { paths, metadata, quarantine, stoppedAtMs: cleanStop?.stoppedAtMs, logger, now, isReadOnly: false };
  const blobs = new BlobFiles({ ...records, onMoved: (digest) => reproof.ask(digest) });
  const ingests = new IngestFiles({ paths, blobs, logger, now, names, partialTtlMs });
  const overhead = new Overhead(paths, quarantine, clock, logger, mostMetadataBytes);
  const store = new DiskStore({ paths, metadata, blobs, ingests, overhead, isReadOnly: false });
  const trim = new MetadataTrim({
    database: metadata.database,
    clock,
    logger,
    maxBytes: mostMetadataBytes,
    isArriving: (digest) => ingests.isOpen(digest),
    onTagsGone: () => metadata.tags.changed(),
  });
  await overhead.measure();
  const index = new IndexFile({ path: paths.index, metadata, clock, logger });
  const stopping = new AbortController();

  const rebuild = async (signal: AbortSignal): Promise<number> => {
    if (!metadata.database.isRebuildDue) return 0;
    const tags = await rebuildMetadata({ paths, store, metadata, logger, legacy }, signal);
    metadata.database.rebuilt();
    metadata.flush();
    index.release();
    return tags;
  };
  const partials = ingests.partials;
  const parts = { paths, metadata, blobs, partials, quarantine, clock, logger, ingestNames: names, rebuild };
  let isWalking = false;
  let isWalkDue = false;
  /** Again when the catalog turned out to be damaged meanwhile: a new one knows nothing. */
  const walk = async (): Promise<RecoverySummary> => {
    isWalking = true;
    let summary: RecoverySummary;
    do {
      isWalkDue = false;
      summary = await new Recovery(parts, stopping.signal).run();
      await learnEdges({ store, metadata, logger }, stopping.signal);
    } while (isWalkDue && !stopping.signal.aborted);
    isWalking = false;
    return summary;
  };

  if (metadata.database.isRebuildDue) index.hold();
  // After an unclean stop the last changes may be missing there.
  else if (cleanStop === undefined) index.schedule();
  const recovered = walk();
  let lastWalk = recovered;
  metadata.database.onReplaced(() => {
    index.hold();
    isWalkDue = true;
    if (!isWalking && !stopping.signal.aborted) lastWalk = walk();
  });

  const stop = async (): Promise<void> => {
    stopping.abort(new Error('the store is being closed'));
    trim.close();
    await lastWalk;
    await reproof.close();
    await store.close();
    // The last changes are announced by their commit, so it comes before the index.
    metadata.flush();
    await index.close();
    await thread.close();
    metadata.close();
    try {
      // The system's own time, whatever the clock says: it is compared with change times of files.
      await writeCleanMarker(paths, { stoppedAtMs: Date.now() });
    } catch (error) {
      logger.warn({ err: error }, 'the clean stop cannot be recorded');
    }
    lock.release();
  };
  let stopped: Promise<void> | undefined;
  const close = (): Promise<void> => (stopped ??= stop());
  const scratch = new ScratchFiles(paths.own);
  return { store, metadata, scratch, index, wasClean: cleanStop !== undefined, recovered, close };
}
