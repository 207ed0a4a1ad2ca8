/**
 * Bringing what a client is about to ask for: it has read a manifest and asked for one of its blobs, so the others start
 * filling. A client that only reads manifests costs nothing.
 *
 * These fills wait behind all that a client waits for, are stopped when none comes for them, and evict nothing that is in
 * use. They are ordinary fills otherwise: what a manifest lists is a claim, and it is the upstream's own answer through
 * this repository that makes a link of it.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import { readManifest } from '../../oci/manifest.ts';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import type { BlobQuery, FromClient, ManifestQuery } from '../contract/cache.ts';
import type { CacheEvents } from '../../fill/contract/events.ts';
import type { FillTable } from '../../fill/fills.ts';
import { repositoryText } from '../../store/contract/keys.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import { type PrefetchJob, PrefetchQueue, type WantedBlob } from './queue.ts';

/** How long after reading a manifest, or asking for one of its blobs, a client is thought to want the rest. */
const interestMs = 5 * 60_000;
const maxReaders = 1024;
/** Of manifests that no longer lie on the manifest store and are remembered all the same. */
const maxReadBytes = 16 * 1024 * 1024;
/** Manifests that one client has read in one repository: those of an index, or an image and what is attached to it. */
const maxManifests = 8;

export interface PrefetchOptions {
  readonly metadata: Metadata;
  readonly upstreams: ReadonlyMap<string, UpstreamPolicy>;
  readonly fills: FillTable;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: CacheEvents;
  /** Most bytes to bring for one manifest, by what it says. */
  readonly maxBytes: number;
}

/** A manifest that a client has read. */
interface ReadManifest {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  /** Wall time: what was used later is not evicted for its blobs. */
  readonly readAtMs: number;
  /** Monotonic. */
  seenMs: number;
  job: PrefetchJob | undefined;
}

export class Prefetch {
  readonly #options: PrefetchOptions;
  readonly #queue: PrefetchQueue;
  /** By client and repository; the latest manifest first. */
  readonly #read = new LRUCache<string, readonly ReadManifest[]>({
    max: maxReaders,
    maxSize: maxReadBytes,
    sizeCalculation: (manifests) => manifests.reduce((sum, { bytes }) => sum + bytes.byteLength, 1),
  });
  /** Sizes by digest, in the order of the document. Many clients read the same bytes. */
  readonly #blobs = new WeakMap<Uint8Array, ReadonlyMap<Digest, number>>();

  constructor(options: PrefetchOptions) {
    this.#options = options;
    this.#queue = new PrefetchQueue(options);
  }

  /**
   * The client was given this manifest, if it has bytes. Without a client: it may be given to anybody without this being
   * told of it again.
   */
  read(
    query: ManifestQuery,
    { digest, bytes }: { readonly digest: Digest; readonly bytes: Uint8Array | undefined },
  ): void {
    if (query.method !== 'get' || bytes === undefined) return;
    const { clock } = this.#options;
    const key = keyOf(query);
    const others = this.#current(key);
    const known = others.find((manifest) => manifest.digest === digest);
    if (known?.job?.isOpen === true) {
      known.seenMs = clock.monotonic();
      return;
    }
    const read = { digest, bytes, readAtMs: clock.now(), seenMs: clock.monotonic(), job: undefined };
    this.#read.set(key, [read, ...others.filter((manifest) => manifest !== known)].slice(0, maxManifests));
  }

  /** A client that may have it has asked for this blob. Never throws, and waits for nothing. */
  asked(query: BlobQuery): void {
    if (query.method !== 'get') return;
    const anybody = { ...query, client: undefined };
    for (const manifest of [...this.#current(keyOf(query)), ...this.#current(keyOf(anybody))]) {
      if (!this.#blobsOf(manifest).has(query.digest)) continue;
      manifest.seenMs = this.#options.clock.monotonic();
      if (manifest.job === undefined) this.#begin(query, manifest);
      else this.#queue.ask(manifest.job);
      // A blob that several have says nothing about the older ones.
      return;
    }
  }

  /** Nothing starts any more. What runs belongs to the table of fills. */
  close(): void {
    this.#queue.close();
    this.#read.clear();
  }

  #current(key: string): readonly ReadManifest[] {
    const sinceMs = this.#options.clock.monotonic() - interestMs;
    return (this.#read.get(key) ?? []).filter(({ seenMs }) => seenMs > sinceMs);
  }

  #begin(query: BlobQuery, manifest: ReadManifest): void {
    const { upstreams, metadata, maxBytes } = this.#options;
    const upstream = upstreams.get(query.upstream)?.upstream;
    if (upstream === undefined) return;
    let leftBytes = maxBytes;
    const blobs: WantedBlob[] = [];
    for (const [digest, claimedBytes] of this.#blobsOf(manifest)) {
      if (digest === query.digest || claimedBytes > leftBytes || metadata.blobs.get(digest) !== undefined) continue;
      leftBytes -= claimedBytes;
      blobs.push({ digest, claimedBytes });
    }
    const { repository } = query;
    manifest.job = this.#queue.add({ upstream, repository, blobs, sparesSinceMs: manifest.readAtMs });
  }

  #blobsOf({ bytes }: ReadManifest): ReadonlyMap<Digest, number> {
    const known = this.#blobs.get(bytes);
    if (known !== undefined) return known;
    const blobs = blobsIn(bytes);
    this.#blobs.set(bytes, blobs);
    return blobs;
  }
}

/** What a client of this document will ask the registry for. */
function blobsIn(bytes: Uint8Array): ReadonlyMap<Digest, number> {
  const facts = readManifest(bytes);
  if (facts.kind !== 'manifest' || facts.config === undefined) return new Map();
  const blobs = facts.blobs.filter(({ hasUrls }) => hasUrls !== true);
  return new Map(blobs.map(({ digest, size }) => [digest, size]));
}

function keyOf(query: RepositoryKey & FromClient): string {
  return `${repositoryText(query)} ${query.client ?? ''}`;
}
