/** An ingest on disk: one part file, its side file, one descriptor that writes and one that its readers share. */
import type { FileHandle } from 'node:fs/promises';
import { writeFileAtomic } from '../../lib/files/atomic-file.ts';
import type { Logger } from '../../lib/log.ts';
import {
  type BlobInfo,
  type Ingest,
  type IngestKey,
  type Interval,
  type IngestReader,
  StoreError,
} from '../contract/blob-store.ts';
import { storeError } from '../files/errors.ts';
import { partPath, sideName, type StorePaths } from '../files/paths.ts';
import { allocatedBytesOf, openRegular } from '../files/regular-file.ts';
import { SharedFile, type ZombieCount } from '../files/open-files.ts';
import { formatSideFile, intervalBytes } from './state-file.ts';
import { type KeptPartial, removePart, type IngestStart } from './files.ts';
import { writeAll } from '../files/write-all.ts';

/** What the store does for its ingests. */
export interface IngestOwner {
  readonly paths: StorePaths;
  readonly zombies: ZombieCount;
  readonly logger: Logger;
  now(): number;
  /** Open ingests occupy so many bytes more on disk. */
  grew(bytes: number): void;
  ended(ingest: DiskIngest): void;
  /** Names the complete file `part`, read through `file`, and removes the ingest's own names whatever happens. */
  commit(key: IngestKey, name: string, file: SharedFile, sizeBytes: number): Promise<BlobInfo>;
  kept(partial: KeptPartial): Promise<void>;
}

export class DiskIngest implements Ingest {
  readonly key: IngestKey;
  readonly resumed: readonly Interval[];
  readonly claimedSizeBytes: number | undefined;
  readonly #owner: IngestOwner;
  readonly #name: string;
  readonly #writer: FileHandle;
  /** Opened for the first reader or for the commit; lives until the ingest and all its readers are done. */
  #reader: Promise<SharedFile> | undefined;
  #allocatedBytes = 0;
  #isOpen = true;
  /** fdatasync has failed once: what is on disk is unknown for good. */
  #isBroken = false;
  #syncs: Promise<unknown> = Promise.resolve();

  constructor(owner: IngestOwner, start: IngestStart) {
    this.#owner = owner;
    this.key = start.key;
    this.resumed = start.resumed;
    this.claimedSizeBytes = start.claimedSizeBytes;
    this.#name = start.name;
    this.#writer = start.writer;
    this.#grew(start.allocatedBytes);
  }

  get path(): string | undefined {
    return this.#isOpen ? this.#part : undefined;
  }

  get #part(): string {
    return partPath(this.#owner.paths, this.#name);
  }

  get #side(): string {
    return partPath(this.#owner.paths, sideName(this.#name));
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    this.#assertOpen();
    try {
      // An upper bound: the truth is taken from the file at each sync, a hot loop must not ask for it.
      this.#grew(await writeAll(this.#writer, buffers, position));
    } catch (error) {
      throw storeError(error, `writing ${this.key.digest}`);
    }
  }

  wrote(bytes: number): void {
    this.#grew(bytes);
  }

  async openReader(): Promise<IngestReader> {
    this.#assertOpen();
    return (await this.#openShared()).retain().reader();
  }

  sync(written: readonly Interval[], sizeBytes: number | undefined): Promise<void> {
    this.#assertOpen();
    return this.#queueSync(written, sizeBytes);
  }

  allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  async adopt(sizeBytes: number): Promise<BlobInfo> {
    this.#end();
    let file: SharedFile;
    try {
      await this.#syncs;
      if (this.#isBroken) throw new StoreError('sick', 'an earlier sync has failed');
      // Opened before the writer is closed, so that an error of the disk in between is still told to somebody.
      file = await this.#openShared();
      await this.#writer.close();
      const stats = await file.handle.stat();
      if (stats.size !== sizeBytes) {
        throw new StoreError('mismatch', `the ingest has ${stats.size} bytes instead of ${sizeBytes}`);
      }
      file.allocatedBytes = allocatedBytesOf(stats);
    } catch (error) {
      await this.#discard();
      throw storeError(error, `adopting ${this.key.digest}`);
    }
    try {
      return await this.#owner.commit(this.key, this.#name, file, sizeBytes);
    } finally {
      await this.#finish();
    }
  }

  async keep(written: readonly Interval[], sizeBytes: number | undefined): Promise<void> {
    this.#end();
    if (intervalBytes(written) === 0) return this.#discard();
    try {
      await this.#queueSync(written, sizeBytes);
      await this.#writer.close();
    } catch (error) {
      await this.#discard();
      throw storeError(error, `keeping the partial of ${this.key.digest}`);
    }
    const allocatedBytes = this.#allocatedBytes;
    await this.#finish();
    const updatedAtMs = this.#owner.now();
    await this.#owner.kept({
      key: this.key,
      name: this.#name,
      sizeBytes,
      synced: written,
      allocatedBytes,
      updatedAtMs,
    });
  }

  async abort(): Promise<void> {
    this.#end();
    await this.#discard();
  }

  /** Stops without a word to the disk, as a kill would: what was synced is found at the next start. */
  async drop(): Promise<void> {
    if (!this.#isOpen) return;
    this.#end();
    await this.#syncs;
    await this.#finish();
  }

  /** One after the other, so that an older map never overwrites a newer one. */
  #queueSync(written: readonly Interval[], sizeBytes: number | undefined): Promise<void> {
    const sync = this.#syncs.then(() => this.#syncNow(written, sizeBytes));
    // Each caller gets its own failure; those who only wait for the queue to empty do not.
    this.#syncs = sync.catch(() => undefined);
    return sync;
  }

  async #syncNow(synced: readonly Interval[], sizeBytes: number | undefined): Promise<void> {
    const doing = `syncing ${this.key.digest}`;
    if (this.#isBroken) throw new StoreError('sick', `${doing}: an earlier sync has failed`);
    try {
      await this.#writer.datasync();
    } catch (error) {
      this.#isBroken = true;
      throw storeError(error, doing);
    }
    try {
      this.#grew(allocatedBytesOf(await this.#writer.stat()) - this.#allocatedBytes);
      const updatedAtMs = this.#owner.now();
      await writeFileAtomic(this.#side, formatSideFile({ key: this.key, sizeBytes, synced, updatedAtMs }), {
        mode: 0o600,
      });
    } catch (error) {
      throw storeError(error, doing);
    }
  }

  #openShared(): Promise<SharedFile> {
    if (this.#reader === undefined) {
      this.#reader = this.#openFile();
      // Out of descriptors now is not out of descriptors for ever. The caller sees the error itself.
      this.#reader.catch(() => (this.#reader = undefined));
    }
    return this.#reader;
  }

  async #openFile(): Promise<SharedFile> {
    try {
      const opened = await openRegular(this.#part);
      if (opened === 'absent' || opened === 'irregular') throw new StoreError('sick', `the part file is ${opened}`);
      return new SharedFile(opened.handle, this.#owner.zombies, this.#allocatedBytes);
    } catch (error) {
      throw storeError(error, `opening the ingest of ${this.key.digest}`);
    }
  }

  /** Never rejects: what cannot be removed now is removed at the next start. */
  async #discard(): Promise<void> {
    const file = await this.#reader?.catch(() => undefined);
    try {
      // Waits for writes that are still under way.
      await this.#writer.close();
      await removePart(this.#owner.paths, this.#name);
    } catch (error) {
      this.#owner.logger.warn({ digest: this.key.digest, err: error }, 'a part file could not be removed');
    }
    if (file !== undefined) {
      file.allocatedBytes = this.#allocatedBytes;
      file.unlinked();
    }
    await this.#finish();
  }

  /** Gives up both descriptors; readers keep theirs. */
  async #finish(): Promise<void> {
    const file = await this.#reader?.catch(() => undefined);
    await this.#writer.close();
    await file?.release();
    this.#grew(-this.#allocatedBytes);
    this.#owner.ended(this);
  }

  #grew(bytes: number): void {
    this.#allocatedBytes += bytes;
    this.#owner.grew(bytes);
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new StoreError('sick', `the ingest of ${this.key.digest} has ended`);
  }

  #end(): void {
    this.#assertOpen();
    this.#isOpen = false;
  }
}
