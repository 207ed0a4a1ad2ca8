/** Manifests that are here: in memory while they are hot, in the store for good. Asks no upstream and decides no right. */
import { LRUCache } from 'lru-cache';
import { Coalesce } from '../../lib/single-flight.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts';
import { isManifestType } from '../../oci/media-type.ts';
import { edgesOf, maxManifestBytes, readManifestInSteps } from '../../oci/manifest.ts';
import type { ManifestRecord } from '../../store/contract/metadata.ts';
import type { ProvedManifest } from './verify.ts';
import type { PolicyDeps } from '../contract/deps.ts';

/** What a small file occupies is a whole number of these. */
const blockBytes = 4096;
/** Memory that an entry costs beside its bytes. */
const entryBytes = 512;
/** Larger ones are read one after the other, so that many clients at once cost no memory for each. */
const largeBytes = 64 * 1024;

type ManifestStoreDeps = Pick<PolicyDeps, 'store' | 'metadata' | 'space' | 'logger' | 'events' | 'options'>;

export interface KeptManifest {
  readonly manifest: ProvedManifest;
  /** False when the store could not take it. */
  readonly isStored: boolean;
}

export class ManifestStore {
  readonly #deps: ManifestStoreDeps;
  readonly #hot: LRUCache<Digest, ProvedManifest>;
  readonly #reads = new Coalesce<ProvedManifest | undefined, Digest>();
  readonly #largeReads = new Semaphore(1);

  constructor(deps: ManifestStoreDeps) {
    this.#deps = deps;
    this.#hot = new LRUCache({
      maxSize: deps.options.hotManifestBytes,
      sizeCalculation: ({ bytes }) => bytes.byteLength + entryBytes,
    });
  }

  /** Type and size of a manifest whose bytes are here, reading them only when they must be proved first. */
  async stat(digest: Digest): Promise<ManifestRecord | undefined> {
    const hot = this.#hot.get(digest);
    if (hot !== undefined) {
      this.#deps.metadata.blobs.touch(digest);
      return recordOf(hot);
    }
    const record = this.#deps.metadata.manifests.get(digest);
    if (record === undefined) return undefined;
    const info = await this.#attempt('stat', digest, () => this.#deps.store.stat(digest));
    if (info !== undefined && !info.isSuspect && info.sizeBytes === record.sizeBytes) {
      this.#deps.metadata.blobs.touch(digest);
      return record;
    }
    const manifest = await this.read(digest);
    return manifest === undefined ? undefined : recordOf(manifest);
  }

  /** Undefined when it is not here or cannot be read; a store that fails is a miss, never a failure. */
  async read(digest: Digest): Promise<ProvedManifest | undefined> {
    const manifest = this.#hot.get(digest) ?? (await this.#reads.run(digest, () => this.#load(digest)));
    if (manifest !== undefined) this.#deps.metadata.blobs.touch(digest);
    return manifest;
  }

  /**
   * Stores proved bytes, durably, and then their record. When the store cannot take them they are hot all the same, so
   * that a full disk does not send every client upstream.
   */
  async keep(manifest: ProvedManifest): Promise<KeptManifest> {
    const { metadata } = this.#deps;
    const { digest, bytes } = manifest;
    const known = metadata.manifests.get(digest);
    // Each link has its own type; this one is for links that have none. An odd word does not replace a sensible one.
    const mediaType = known !== undefined && isManifestType(known.mediaType) ? known.mediaType : manifest.mediaType;
    const kept = { digest, mediaType, bytes };
    this.#hot.set(digest, kept);
    const isStored = (await this.#attempt('put', digest, () => this.#put(digest, bytes))) === true;
    const named = isStored && known === undefined ? edgesOf(await readManifestInSteps(bytes)) : undefined;
    if (isStored) metadata.manifests.record(recordOf(kept));
    if (named !== undefined) metadata.edges.record(digest, named);
    return { manifest, isStored };
  }

  async #put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const { store, space } = this.#deps;
    const allocatedBytes = Math.ceil(bytes.byteLength / blockBytes) * blockBytes;
    const reservation = space?.reserve();
    try {
      if (reservation !== undefined && !(await reservation.cover(allocatedBytes, 0))) return false;
      await store.put(digest, bytes);
    } finally {
      reservation?.release();
    }
    return true;
  }

  /** Every read from the store is hashed: it is cheap for manifests, and settles what an unclean stop left in doubt. */
  async #load(digest: Digest): Promise<ProvedManifest | undefined> {
    const { store, metadata, events } = this.#deps;
    const record = metadata.manifests.get(digest);
    if (record === undefined) return undefined;
    return this.#attempt('read', digest, async () => {
      const info = await store.stat(digest);
      using _turn = record.sizeBytes > largeBytes ? await this.#largeReads.acquire() : undefined;
      const bytes = info === undefined ? undefined : await store.readAll(digest, maxManifestBytes);
      if (info === undefined || bytes === undefined) return undefined;
      if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
        events.rejected({ reason: 'stored-mismatch' });
        await store.quarantine(digest, 'the bytes are not the digest');
        return undefined;
      }
      // Its bytes are right, whatever becomes of this.
      if (info.isSuspect) await this.#attempt('prove', digest, () => store.prove(digest, bytes.byteLength));
      const manifest = { digest, mediaType: record.mediaType, bytes };
      this.#hot.set(digest, manifest);
      return manifest;
    });
  }

  async #attempt<T>(what: string, digest: Digest, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#deps.logger.warn({ err: error, digest }, `the store failed to ${what} a manifest; going on without it`);
      return undefined;
    }
  }
}

function recordOf({ digest, mediaType, bytes }: ProvedManifest): ManifestRecord {
  return { digest, mediaType, sizeBytes: bytes.byteLength };
}
