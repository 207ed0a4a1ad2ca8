/**
 * What a lost catalog can be told again: index.json names the tags, the documents under them name the rest.
 *
 * A tag in index.json is the upstream's own word, so its repository gets the tag and a link to its manifest. What that
 * manifest refers to was, as far as it lies here, pulled through the same repository in all likelihood; it is linked too,
 * or an outage after the loss would make every cached image unservable.
 */
import type { Logger } from '../lib/log.ts';
import type { Digest } from '../oci/digest.ts';
import { type LayoutEntry, parseLayoutIndex } from '../oci/layout.ts';
import { maxManifestBytes, readManifest } from '../oci/manifest.ts';
import { type BlobStore, StoreError } from './blob-store.ts';
import type { Catalog, RepositoryKey } from './catalog.ts';
import { byAnybody } from './origin.ts';
import { checkedAtAnnotation } from './index-file.ts';
import type { StorePaths } from './paths.ts';
import { parseRefName } from './ref-name.ts';
import { maxIndexBytes, readRegular } from './regular-file.ts';

export interface RebuildOptions {
  readonly paths: StorePaths;
  readonly store: BlobStore;
  readonly catalog: Catalog;
  readonly logger: Logger;
}

/** Resolves how many tags were found. Rejects with the signal's reason, and with StoreError when the disk is sick. */
export async function rebuildCatalog(options: RebuildOptions, signal: AbortSignal): Promise<number> {
  const { paths, logger } = options;
  const bytes = await readRegular(paths.index, maxIndexBytes);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes);
  if (entries === undefined) {
    logger.warn({ path: paths.index }, 'index.json is damaged as well; tags and links start anew');
    return 0;
  }
  const walked = new Set<string>();
  let tags = 0;
  for (const entry of entries) {
    signal.throwIfAborted();
    if (await rebuildTag(entry, options, walked, signal)) tags++;
  }
  return tags;
}

async function rebuildTag(
  { descriptor, refName }: LayoutEntry,
  options: RebuildOptions,
  walked: Set<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const key = refName === undefined ? undefined : parseRefName(refName);
  if (key === undefined) return false;
  const { catalog } = options;
  const { digest, mediaType, size: sizeBytes } = descriptor;
  // What was learnt since the loss is newer.
  if (catalog.tag(key) === undefined) {
    const checkedAtMs = Number(descriptor.annotations?.[checkedAtAnnotation] ?? 0);
    const isTime = Number.isSafeInteger(checkedAtMs) && checkedAtMs >= 0;
    catalog.putTag(key, { digest, mediaType, sizeBytes, checkedAtMs: isTime ? checkedAtMs : 0, isDenied: false });
  }
  await walk(key, digest, mediaType, options, walked, signal);
  return true;
}

/** Links a manifest and everything below it that lies in the store. */
async function walk(
  { upstream, repository }: RepositoryKey,
  root: Digest,
  rootType: string,
  { store, catalog, logger }: RebuildOptions,
  walked: Set<string>,
  signal: AbortSignal,
): Promise<void> {
  const key = { upstream, repository };
  catalog.addLink(key, root, 'manifest', { origin: byAnybody });
  const queue = [{ digest: root, mediaType: rootType }];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    signal.throwIfAborted();
    const { digest, mediaType } = next;
    const mark = `${upstream}\n${repository}\n${digest}`;
    if (walked.has(mark)) continue;
    walked.add(mark);
    const bytes = await readDocument(store, digest, logger);
    if (bytes === undefined) continue;
    catalog.addLink(key, digest, 'manifest', { origin: byAnybody });
    if (catalog.manifest(digest) === undefined) {
      catalog.recordManifest({ digest, mediaType, sizeBytes: bytes.byteLength });
    }
    const facts = readManifest(bytes);
    if (facts.kind === 'invalid') continue;
    queue.push(...facts.children);
    for (const blob of facts.blobs) {
      if ((await store.stat(blob.digest)) !== undefined)
        catalog.addLink(key, blob.digest, 'blob', { origin: byAnybody });
    }
  }
}

async function readDocument(store: BlobStore, digest: Digest, logger: Logger): Promise<Uint8Array | undefined> {
  try {
    return await store.readAll(digest, maxManifestBytes);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    logger.warn({ digest, err: error }, 'a manifest cannot be read; what it refers to is not linked');
    return undefined;
  }
}
