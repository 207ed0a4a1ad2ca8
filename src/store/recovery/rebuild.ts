/**
 * What a lost catalog can be told again: index.json names the tags, the documents under them name the rest.
 *
 * A tag in index.json is the upstream's own word, so its repository gets the tag and a link to its manifest. What that
 * manifest refers to was, as far as it lies here, pulled through the same repository in all likelihood; it is linked too,
 * or an outage after the loss would make every cached image unservable.
 */
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import { type LayoutEntry, parseLayoutIndex } from '../../oci/layout.ts';
import {
  edgesOf,
  type ManifestFacts,
  type ManifestProblem,
  maxManifestBytes,
  readManifestInSteps,
} from '../../oci/manifest.ts';
import { isMediaType, mediaTypes, storedMediaType } from '../../oci/media-type.ts';
import { type BlobStore, StoreError } from '../contract/blob-store.ts';
import type { ContentKind, RepositoryKey } from '../contract/metadata.ts';
import type { Metadata } from '../metadata/metadata.ts';
import { checkedAtAnnotation, originAnnotation, repositoryAnnotation } from '../layout/index-file.ts';
import { legacyOrigin, type LegacyUpstreams } from './legacy.ts';
import { type Origin, parseOrigin, rankOf } from '../contract/origin.ts';
import type { StorePaths } from '../files/paths.ts';
import { parseRefName, parseRepositoryName } from '../layout/ref-name.ts';
import { maxIndexBytes, readRegular } from '../files/regular-file.ts';

export interface RebuildOptions {
  readonly paths: StorePaths;
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly logger: Logger;
  readonly legacy: LegacyUpstreams;
}

/** Resolves how many tags were found. Rejects with the signal's reason, and with StoreError when the disk is sick. */
export async function rebuildMetadata(options: RebuildOptions, signal: AbortSignal): Promise<number> {
  const { paths, logger } = options;
  const bytes = await readRegular(paths.index, maxIndexBytes);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes);
  if (entries === undefined) {
    logger.warn({ path: paths.index }, 'index.json is damaged as well; tags and links start anew');
    return 0;
  }
  const claims: Claims = { walked: new Set(), origins: new Map() };
  let tags = 0;
  // The strictest word first: what it leads to is linked below nothing that a weaker one leads to.
  const told = entries.map((entry) => ({ entry, origin: originOfEntry(entry, options) }));
  for (const { entry, origin } of told.toSorted((one, other) => rankOf(one.origin) - rankOf(other.origin))) {
    signal.throwIfAborted();
    if (await rebuildEntry(entry, origin, options, claims, signal)) tags++;
  }
  return tags;
}

interface Claims {
  /** Repository and digest. */
  readonly walked: Set<string>;
  /** Of the strictest entry that leads to a digest. */
  readonly origins: Map<Digest, Origin>;
}

/** An entry without weir's annotations is an operator's: another tool's layout, adopted as it is. */
function originOfEntry(entry: LayoutEntry, { legacy }: RebuildOptions): Origin {
  const { descriptor, refName } = entry;
  const { [originAnnotation]: text, [checkedAtAnnotation]: checkedAt } = descriptor.annotations ?? {};
  if (text === undefined && checkedAt === undefined) return { kind: 'operator' };
  const origin = parseOrigin(text ?? '');
  const key = refName === undefined ? unnamedKey(entry) : parseRefName(refName);
  return origin.kind === 'legacy' ? legacyOrigin(legacy, key?.upstream ?? '') : origin;
}

function unnamedKey({ descriptor }: LayoutEntry): RepositoryKey | undefined {
  return parseRepositoryName(descriptor.annotations?.[repositoryAnnotation] ?? '');
}

/** Resolves whether it was a tag. */
async function rebuildEntry(
  entry: LayoutEntry,
  origin: Origin,
  options: RebuildOptions,
  claims: Claims,
  signal: AbortSignal,
): Promise<boolean> {
  const { descriptor, refName } = entry;
  const key = refName === undefined ? undefined : parseRefName(refName);
  const where = refName === undefined ? unnamedKey(entry) : key;
  if (where === undefined) return false;
  const { metadata } = options;
  const { digest, size: sizeBytes } = descriptor;
  await walk({ key: where, origin, digest, mediaType: descriptor.mediaType }, options, claims, signal);
  if (key === undefined) return false;
  const mediaType = metadata.links.get(key, digest, 'manifest')?.mediaType ?? descriptor.mediaType;
  if (!isMediaType(mediaType)) return false;
  // What was learnt since the loss is newer.
  if (metadata.tags.get(key) === undefined) {
    const checkedAtMs = Number(descriptor.annotations?.[checkedAtAnnotation] ?? 0);
    const isTime = Number.isSafeInteger(checkedAtMs) && checkedAtMs >= 0;
    metadata.tags.put(key, { digest, mediaType, sizeBytes, checkedAtMs: isTime ? checkedAtMs : 0, isDenied: false });
  }
  return true;
}

interface Root {
  readonly key: RepositoryKey;
  readonly origin: Origin;
  readonly digest: Digest;
  readonly mediaType: string;
}

/** Links a manifest and everything below it that lies in the store. */
async function walk(root: Root, options: RebuildOptions, claims: Claims, signal: AbortSignal): Promise<void> {
  const { store, metadata, logger } = options;
  const { origin } = root;
  const key = { upstream: root.key.upstream, repository: root.key.repository };
  const isClaimed = (digest: Digest): boolean => {
    const claim = claims.origins.get(digest) ?? origin;
    claims.origins.set(digest, claim);
    return rankOf(claim) < rankOf(origin);
  };
  const add = (digest: Digest, kind: ContentKind, mediaType?: string): void => {
    metadata.links.add(key, digest, kind, { origin, mediaType });
    metadata.provenance.addSender(digest, key.upstream, origin.kind === 'anonymous');
  };
  const queue = [{ digest: root.digest, mediaType: root.mediaType }];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    signal.throwIfAborted();
    const { digest } = next;
    const mark = `${key.upstream}\n${key.repository}\n${digest}`;
    if (claims.walked.has(mark)) continue;
    claims.walked.add(mark);
    const bytes = isClaimed(digest) ? undefined : await readDocument(store, digest, logger);
    if (bytes === undefined) continue;
    const facts = await readManifestInSteps(bytes);
    // Types are written by whoever publishes: what contradicts the document, or is none, is not taken over.
    const mediaType = typeFor(next.mediaType, facts);
    add(digest, 'manifest', mediaType);
    if (metadata.manifests.get(digest) === undefined) {
      metadata.manifests.record({ digest, mediaType, sizeBytes: bytes.byteLength });
      metadata.edges.record(digest, edgesOf(facts));
    }
    if (facts.kind === 'invalid') continue;
    queue.push(...facts.children);
    for (const blob of facts.blobs) {
      if (!isClaimed(blob.digest) && (await store.stat(blob.digest)) !== undefined) add(blob.digest, 'blob');
    }
  }
}

function typeFor(claimed: string, facts: ManifestFacts | ManifestProblem): string {
  if (facts.kind === 'invalid') return mediaTypes.octetStream;
  for (const claim of [claimed, undefined]) {
    const type = storedMediaType(claim, facts);
    if (type.kind === 'known') return type.mediaType;
  }
  return mediaTypes.octetStream;
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
