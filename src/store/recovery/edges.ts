/** Learning what stored manifests name, beside serving. Until one has been read, its document is read when it matters. */
import { setImmediate } from 'node:timers/promises';
import type { Logger } from '../../lib/log.ts';
import { edgesOf, maxManifestBytes, readManifestInSteps } from '../../oci/manifest.ts';
import type { BlobStore } from '../contract/blob-store.ts';
import type { Metadata } from '../metadata/metadata.ts';

const pageRows = 64;

export interface EdgesOptions {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly logger: Logger;
}

/** Never rejects; what is left is learnt at the next start. */
export async function learnEdges({ store, metadata, logger }: EdgesOptions, signal: AbortSignal): Promise<void> {
  try {
    for (let after = ''; !signal.aborted;) {
      const digests = metadata.edges.toRead(after, pageRows);
      for (const digest of digests) {
        const bytes = await store.readAll(digest, maxManifestBytes);
        // Other work gets its turn in between.
        await setImmediate();
        const named = bytes === undefined ? undefined : edgesOf(await readManifestInSteps(bytes));
        if (signal.aborted) return;
        metadata.edges.record(digest, named);
      }
      const last = digests.at(-1);
      if (last === undefined) return;
      after = last;
    }
  } catch (error) {
    if (!signal.aborted)
      logger.warn({ err: error }, 'what stored manifests name was not learnt; they are read when needed');
  }
}
