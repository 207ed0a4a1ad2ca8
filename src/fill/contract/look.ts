/** What the store has under a digest. A store that cannot tell has nothing: the bytes are passed through then. */
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import { type BlobInfo, type BlobStore, StoreError } from '../../store/contract/blob-store.ts';

export async function look(
  { store, logger }: { readonly store: BlobStore; readonly logger: Logger },
  digest: Digest,
): Promise<BlobInfo | undefined> {
  try {
    return await store.stat(digest);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    logger.warn({ err: error, digest }, 'the store cannot tell whether it has a blob');
    return undefined;
  }
}
