/**
 * The file under a generation, in two kinds: an ingest that is being filled, and a blob that is there already but must be
 * proved again after an unclean stop. To the engine they are the same thing: some bytes are written, a hash follows them,
 * and in the end they are accepted or given up.
 */
import type { Logger } from '../../lib/log.ts';
import {
  type BlobInfo,
  type BlobStore,
  type Ingest,
  type IngestKey,
  type Interval,
  type SpoolReader,
  StoreError,
} from '../../store/contract/blob-store.ts';
import type { Keeping } from '../contract/keeping.ts';

export interface Spool {
  /** What was on disk when it was opened. */
  readonly resumed: readonly Interval[];
  readonly claimedSizeBytes: number | undefined;
  /** False for a blob that is only being proved: nothing may be written to it. */
  readonly isWritable: boolean;
  /** Of the file, for other threads; undefined where there is none. */
  readonly path: string | undefined;
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /** Another thread wrote so many bytes through `path`. */
  wrote(bytes: number): void;
  openReader(): Promise<SpoolReader>;
  sync(written: readonly Interval[], sizeBytes: number | undefined): Promise<void>;
  allocatedBytes(): number;
  /** Takes the proved bytes. */
  adopt(sizeBytes: number): Promise<BlobInfo>;
  keep(written: readonly Interval[], sizeBytes: number | undefined): Promise<void>;
  /** The bytes are wrong or nobody wants them. */
  abort(reason: string): Promise<void>;
}

function ingestSpool(ingest: Ingest): Spool {
  const { resumed, claimedSizeBytes: claimed } = ingest;
  // Less than what is there: somebody else's side file.
  const isPossible = claimed !== undefined && claimed >= (resumed.at(-1)?.end ?? 0);
  return {
    resumed,
    claimedSizeBytes: isPossible ? claimed : undefined,
    isWritable: true,
    path: ingest.path,
    write: (buffers, position) => ingest.write(buffers, position),
    wrote: (bytes) => ingest.wrote(bytes),
    openReader: () => ingest.openReader(),
    sync: (written, sizeBytes) => ingest.sync(written, sizeBytes),
    allocatedBytes: () => ingest.allocatedBytes(),
    adopt: (sizeBytes) => ingest.adopt(sizeBytes),
    keep: (written, sizeBytes) => ingest.keep(written, sizeBytes),
    abort: () => ingest.abort(),
  };
}

/** A suspect blob as a spool whose bytes are all there. */
export function suspectSpool(
  { store, logger }: { readonly store: BlobStore; readonly logger: Logger },
  info: BlobInfo,
): Spool {
  const { digest, sizeBytes, path } = info;
  const nothing = async (): Promise<void> => {};
  return {
    resumed: [{ start: 0, end: sizeBytes }],
    claimedSizeBytes: sizeBytes,
    isWritable: false,
    path,
    write: () => Promise.reject(new Error('a blob that is being proved is never written')),
    wrote: () => undefined,
    async openReader() {
      const blob = await store.open(digest);
      if (blob === undefined) throw new StoreError('sick', `${digest} went before it was proved`);
      return blob;
    },
    sync: nothing,
    allocatedBytes: () => 0,
    async adopt() {
      await store.prove(digest, sizeBytes);
      return { ...info, isSuspect: false };
    },
    keep: nothing,
    async abort(reason) {
      try {
        // A fill through another upstream may have found the same, and brought the right one since.
        if ((await store.stat(digest))?.isSuspect === true) await store.quarantine(digest, reason);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        // Nobody takes it for the blob as long as it is suspect, and the right one takes its place.
        logger.warn({ err: error, digest }, 'a damaged blob cannot be put aside');
      }
    },
  };
}

/** A spool to fill: the partial of an earlier attempt, or a new one. Undefined when the store cannot take anything now. */
export async function openSpool(
  { store, keeping, logger }: { readonly store: BlobStore; readonly keeping: Keeping; readonly logger: Logger },
  key: IngestKey,
  { mayResume }: { readonly mayResume: boolean },
): Promise<Spool | undefined> {
  try {
    const resumed = mayResume ? await store.resumeIngest(key) : undefined;
    return ingestSpool(resumed ?? (await store.createIngest(key)));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    keeping.failed(error);
    logger.warn({ err: error, digest: key.digest }, 'the store takes nothing; passing the blob through');
    return undefined;
  }
}

/** The reader of a spool; undefined when the store cannot open it (no descriptors), which ends the spool. */
export async function readerOf(spool: Spool, logger: Logger): Promise<SpoolReader | undefined> {
  try {
    return await spool.openReader();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    logger.warn({ err: error }, 'a spool cannot be read; passing the blob through');
    if (spool.resumed.length > 0) await spool.keep(spool.resumed, spool.claimedSizeBytes);
    else await spool.abort('it cannot be read');
    return undefined;
  }
}
