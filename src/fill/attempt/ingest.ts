/**
 * The ingest under an attempt: a new one, the partial of an earlier attempt, or a blob that is there already but must be
 * proved again. To an attempt they are the same thing: some bytes are written, a hash follows them, and in the end they
 * are accepted or given up.
 */
import type { Logger } from '../../lib/log.ts';
import {
  type BlobInfo,
  type BlobStore,
  type Ingest,
  type IngestKey,
  type IngestReader,
  StoreError,
} from '../../store/contract/blob-store.ts';
import type { Keeping } from '../contract/keeping.ts';

/** A suspect blob as an ingest whose bytes are all there. `adopt` proves it, `abort` puts it aside; nothing is written. */
export function suspectIngest(
  { store, logger }: { readonly store: BlobStore; readonly logger: Logger },
  info: BlobInfo,
  key: IngestKey,
): Ingest {
  const { digest, sizeBytes, path } = info;
  const nothing = async (): Promise<void> => {};
  return {
    key,
    path,
    isStored: true,
    resumed: [{ start: 0, end: sizeBytes }],
    claimedSizeBytes: sizeBytes,
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

/** The partial of an earlier attempt, or a new ingest. Undefined when the store cannot take anything now. */
export async function openIngest(
  { store, keeping, logger }: { readonly store: BlobStore; readonly keeping: Keeping; readonly logger: Logger },
  key: IngestKey,
  { mayResume }: { readonly mayResume: boolean },
): Promise<Ingest | undefined> {
  try {
    const resumed = mayResume ? await store.resumeIngest(key) : undefined;
    return resumed ?? (await store.createIngest(key));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    keeping.failed(error);
    logger.warn({ err: error, digest: key.digest }, 'the store takes nothing; passing the blob through');
    return undefined;
  }
}

/** The reader of an ingest; undefined when the store cannot open it (no descriptors), which ends the ingest. */
export async function readerOf(ingest: Ingest, logger: Logger): Promise<IngestReader | undefined> {
  try {
    return await ingest.openReader();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    logger.warn({ err: error }, 'an ingest cannot be read; passing the blob through');
    if (ingest.resumed.length > 0) await ingest.keep(ingest.resumed, ingest.claimedSizeBytes);
    else await ingest.abort('it cannot be read');
    return undefined;
  }
}
