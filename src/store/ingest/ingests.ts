/** The ingest directory: which part files are open, which are kept, and how much disk they take together. */
import { open } from 'node:fs/promises';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { BlobFiles } from '../blobs/blobs.ts';
import type { BlobInfo, Ingest, IngestKey, PartialInfo } from '../contract/blob-store.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from '../files/errors.ts';
import { PartialTable } from './partials.ts';
import { newPartName, partPath, type StorePaths } from '../files/paths.ts';
import { allocatedBytesOf, openRegular } from '../files/regular-file.ts';
import { makeOwnDirectory } from '../root/tree.ts';
import type { SharedFile, ZombieCount } from '../files/open-files.ts';
import { clipIntervals, intervalBytes } from './state-file.ts';
import { DiskIngest, type IngestOwner } from './ingest.ts';
import { type KeptPartial, removePart } from './files.ts';

export interface IngestFilesOptions {
  readonly paths: StorePaths;
  readonly blobs: BlobFiles;
  readonly logger: Logger;
  readonly now: () => number;
  /** Names in the ingest directory before this run. */
  readonly names: readonly string[];
  readonly partialTtlMs: number;
}

const exclusively = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_RDWR;

export class IngestFiles implements IngestOwner {
  readonly paths: StorePaths;
  readonly logger: Logger;
  readonly now: () => number;
  readonly partials: PartialTable;
  readonly #blobs: BlobFiles;
  readonly #open = new Set<DiskIngest>();
  #openBytes = 0;

  constructor(options: IngestFilesOptions) {
    this.paths = options.paths;
    this.logger = options.logger;
    this.now = options.now;
    this.#blobs = options.blobs;
    this.partials = new PartialTable(options);
  }

  get zombies(): ZombieCount {
    return this.#blobs.opened.zombies;
  }

  /** On disk: open ingests and kept partials. */
  get allocatedBytes(): number {
    return this.#openBytes + this.partials.allocatedBytes;
  }

  /** Some ingest of the digest is open. */
  isOpen(digest: Digest): boolean {
    for (const ingest of this.#open) if (ingest.key.digest === digest) return true;
    return false;
  }

  list(): readonly PartialInfo[] {
    return this.partials.list();
  }

  async create(key: IngestKey): Promise<Ingest> {
    const name = newPartName(key.digest);
    const writer = await this.#createFile(name, key);
    return this.#start({ key, name, sizeBytes: undefined, synced: [], allocatedBytes: 0, updatedAtMs: 0 }, writer);
  }

  async resume(key: IngestKey): Promise<Ingest | undefined> {
    const partial = await this.partials.take(key);
    if (partial === undefined) return undefined;
    try {
      const opened = await openRegular(partPath(this.paths, partial.name), 'write');
      if (opened === 'absent' || opened === 'irregular') return undefined;
      const { handle, stats } = opened;
      const synced = clipIntervals(partial.synced, Number(stats.size));
      if (intervalBytes(synced) > 0) {
        return this.#start({ ...partial, synced, allocatedBytes: allocatedBytesOf(stats) }, handle);
      }
      // Somebody has emptied it.
      await handle.close();
      await removePart(this.paths, partial.name);
      return undefined;
    } catch (error) {
      throw storeError(error, `resuming ${key.digest}`);
    }
  }

  async removePartial(key: IngestKey): Promise<void> {
    try {
      await this.partials.remove(key);
    } catch (error) {
      throw storeError(error, `removing the partial of ${key.digest}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((ingest) => ingest.drop()));
  }

  grew(bytes: number): void {
    this.#openBytes += bytes;
  }

  ended(ingest: DiskIngest): void {
    this.#open.delete(ingest);
  }

  async commit(key: IngestKey, name: string, file: SharedFile, sizeBytes: number): Promise<BlobInfo> {
    try {
      return await this.#blobs.commit(key.digest, name, file, sizeBytes);
    } finally {
      try {
        await removePart(this.paths, name);
      } catch (error) {
        // The blob is stored, or its failure is what the caller hears of. Recovery removes this.
        this.logger.warn({ name, err: error }, 'a finished part file could not be removed');
      }
    }
  }

  kept(partial: KeptPartial): Promise<void> {
    return this.partials.put(partial);
  }

  #start(partial: KeptPartial, writer: FileHandle): Ingest {
    const { key, name, synced: resumed, sizeBytes, allocatedBytes } = partial;
    // Less than what is there: somebody else's side file.
    const isPossible = sizeBytes !== undefined && sizeBytes >= (resumed.at(-1)?.end ?? 0);
    const claimedSizeBytes = isPossible ? sizeBytes : undefined;
    const ingest = new DiskIngest(this, { key, name, writer, resumed, claimedSizeBytes, allocatedBytes });
    this.#open.add(ingest);
    return ingest;
  }

  async #createFile(name: string, key: IngestKey): Promise<FileHandle> {
    const path = partPath(this.paths, name);
    try {
      try {
        return await open(path, exclusively, 0o600);
      } catch (error) {
        // Somebody has tidied up under us.
        if (!hasCode(error, 'ENOENT')) throw error;
        await makeOwnDirectory(this.paths.own, 0o700);
        await makeOwnDirectory(this.paths.ingest, 0o700);
        return await open(path, exclusively, 0o600);
      }
    } catch (error) {
      throw storeError(error, `opening an ingest for ${key.digest}`);
    }
  }
}
