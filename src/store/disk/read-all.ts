/** Reading a small blob into memory, from any blob store. */
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts';
import { type BlobStore, StoreError } from '../contract/blob-store.ts';
import { storeError } from '../files/errors.ts';

/**
 * The caller gets bytes and no word about where they come from, so a suspect blob is hashed here: right, it is proved;
 * wrong, it is quarantined and absent.
 */
export async function readWhole(store: BlobStore, digest: Digest, maxBytes: number): Promise<Uint8Array | undefined> {
  const blob = await store.open(digest);
  if (blob === undefined) return undefined;
  const { sizeBytes, isSuspect } = blob.info;
  let bytes: Uint8Array;
  try {
    if (sizeBytes > maxBytes) {
      throw new StoreError('tooLarge', `${digest} has ${sizeBytes} bytes, ${maxBytes} are allowed here`);
    }
    bytes = new Uint8Array(sizeBytes);
    let filled = 0;
    while (filled < sizeBytes) {
      const read = await blob.read(bytes, filled, sizeBytes - filled, filled);
      if (read === 0) throw new StoreError('sick', `${digest} became shorter while it was read`);
      filled += read;
    }
  } catch (error) {
    throw storeError(error, `reading ${digest}`);
  } finally {
    await blob.close();
  }
  if (!isSuspect) return bytes;
  if (digestOf(bytes, digestAlgorithm(digest)) === digest) {
    try {
      await store.prove(digest, sizeBytes);
    } catch (error) {
      // These bytes are right whether the disk can keep them or not. The file stays suspect, and the next read tries again.
      if (!(error instanceof StoreError)) throw error;
    }
    return bytes;
  }
  await store.quarantine(digest, 'its bytes are not its digest');
  return undefined;
}
