/**
 * The visible blobs. What exists is decided by the file under the digest's name, each time; the catalog's row adds how
 * large it must be and whether it was proved. A file that cannot be the blob is quarantined as soon as it is seen.
 */
import type { BigIntStats } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import { BlobRecords, type BlobRecordsOptions } from './records.ts';
import type { BlobInfo } from '../contract/blob-store.ts';
import { commitIngest, makeDurable } from './commit.ts';
import { DigestLocks } from './locks.ts';
import type { FileStamp } from '../contract/file-stamp.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from '../files/errors.ts';
import { blobPath } from '../files/paths.ts';
import { allocatedBytesOf, openRegular } from '../files/regular-file.ts';
import { OpenBlobs, SharedFile } from '../files/open-files.ts';
import { Unreadable } from './unreadable.ts';

export interface OpenedBlob {
  readonly info: BlobInfo;
  /** One reference, the caller's. */
  readonly file: SharedFile;
}

/** What a file may be like by itself. Anything else (no descriptors, no memory) says nothing about the blob. */
const unreadableCodes = ['EACCES', 'EPERM', 'EIO', 'EUCLEAN', 'EBADMSG', 'ESTALE'] as const;

export class BlobFiles {
  readonly opened = new OpenBlobs();
  readonly #options: BlobRecordsOptions;
  readonly #records: BlobRecords;
  readonly #locks = new DigestLocks();
  readonly #unreadable: Unreadable;

  constructor(options: BlobRecordsOptions) {
    this.#options = options;
    this.#records = new BlobRecords(options, this.opened);
    this.#unreadable = new Unreadable(options.logger, options.now);
  }

  /** How often a blob was found that cannot be read. */
  get unreadable(): number {
    return this.#unreadable.count;
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    await this.#locks.settled(digest);
    if (this.#unreadable.has(digest)) return undefined;
    const stats = await this.#records.look(digest);
    const row = this.#options.metadata.blobs.get(digest);
    if (!this.#locks.isHeld(digest)) {
      if (stats === undefined && row === undefined) return undefined;
      const info = stats === undefined || row === undefined ? undefined : this.#records.agreed(digest, stats);
      if (info !== undefined) return info;
    }
    // File and row do not agree, or one of them changed while we looked.
    return this.examine(digest);
  }

  /** What the digest's readers share; the caller releases `file`. */
  async open(digest: Digest): Promise<OpenedBlob | undefined> {
    await this.#locks.settled(digest);
    if (this.#unreadable.has(digest)) return undefined;
    const file = this.opened.find(digest);
    try {
      if (file === undefined) return await this.#locks.run(digest, () => this.#openNow(digest));
      const stats = await file.handle.stat({ bigint: true });
      const isUnchanged = stats.nlink > 0n && this.opened.isCurrent(digest, file) && !this.#locks.isHeld(digest);
      if (isUnchanged && this.#options.metadata.blobs.get(digest) !== undefined) {
        const info = this.#records.agreed(digest, stats);
        if (info !== undefined) return { info, file: file.retain() };
      }
      return await this.#locks.run(digest, () => this.#openNow(digest));
    } catch (error) {
      if (!hasCode(error, ...unreadableCodes)) throw storeError(error, `opening ${digest}`);
      this.#unreadable.add(digest, error);
      return undefined;
    } finally {
      await file?.release();
    }
  }

  /** Reading its file has failed: from now on it counts as absent, until another one has its place. */
  failed(digest: Digest, error: unknown): void {
    this.#unreadable.add(digest, error);
    this.opened.detach(digest, false);
  }

  /** Makes row and file agree, and says what is there. For recovery, and whenever the two were seen to differ. */
  examine(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#locks.run(digest, async () => this.#records.settle(digest, await this.#records.look(digest)));
  }

  /** The commit of a part file that is complete and proved. Rejects with StoreError; then the blob is not there. */
  commit(digest: Digest, name: string, file: SharedFile, sizeBytes: number): Promise<BlobInfo> {
    const { paths, metadata } = this.#options;
    return this.#locks.run(digest, async () => {
      const isProved = (existing: BigIntStats): boolean => {
        const verdict = this.#records.judge(digest, existing);
        const isGood = verdict.kind === 'good' && !verdict.isSuspect && !this.#unreadable.has(digest);
        return isGood && existing.size === BigInt(sizeBytes);
      };
      try {
        const { outcome, allocatedBytes, stamp } = await commitIngest({
          paths,
          digest,
          name,
          handle: file.handle,
          isProved,
        });
        file.allocatedBytes = allocatedBytes;
        if (outcome === 'existed') file.unlinked();
        else {
          this.opened.detach(digest);
          this.#unreadable.delete(digest);
          // Whoever asks for the blob now shares the descriptor of those who followed the fill.
          this.opened.enter(digest, file);
          metadata.blobs.record({ digest, sizeBytes, allocatedBytes, stamp });
        }
      } catch (error) {
        file.unlinked();
        await this.#records.settle(digest, await this.#records.look(digest));
        throw storeError(error, `storing ${digest}`);
      }
      return { digest, sizeBytes, path: blobPath(paths, digest), isSuspect: false };
    });
  }

  async prove(digest: Digest, sizeBytes: number): Promise<void> {
    const { paths, metadata } = this.#options;
    await this.#locks.run(digest, async () => {
      try {
        const durable = await makeDurable(blobPath(paths, digest), sizeBytes);
        if (durable !== undefined) metadata.blobs.record({ digest, sizeBytes, ...durable });
      } catch (error) {
        throw storeError(error, `proving ${digest}`);
      }
    });
  }

  remove(digest: Digest): Promise<number | undefined> {
    const { paths, metadata } = this.#options;
    return this.#locks.run(digest, async () => {
      try {
        const stats = await this.#records.look(digest);
        // The row goes second: a kill in between leaves a row without a file, which the next look forgets.
        await rm(blobPath(paths, digest), { recursive: true, force: true });
        metadata.blobs.forget(digest);
        this.opened.detach(digest);
        return stats === undefined ? undefined : allocatedBytesOf(stats);
      } catch (error) {
        throw storeError(error, `removing ${digest}`);
      }
    });
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    await this.#locks.run(digest, () => this.#records.quarantine(digest, reason));
  }

  /** A file that had `stamp` was read to its end, and is this blob. */
  renew(digest: Digest, stamp: FileStamp): Promise<void> {
    return this.#locks.run(digest, () => this.#records.renew(digest, stamp));
  }

  /** Under the lock. */
  async #openNow(digest: Digest): Promise<OpenedBlob | undefined> {
    const found = this.opened.find(digest);
    const opened = found === undefined ? await this.#openPath(digest) : { file: found };
    if (opened === undefined) return undefined;
    const { file } = opened;
    let info: BlobInfo | undefined;
    try {
      const stats = 'stats' in opened ? opened.stats : await file.handle.stat({ bigint: true });
      // Deleted by hand while it was open: a zombie from now on.
      if (stats.nlink === 0n) this.opened.detach(digest);
      info = await this.#records.settle(digest, stats.nlink === 0n ? await this.#records.look(digest) : stats);
      if (info !== undefined && stats.nlink > 0n) return { info, file: file.retain() };
    } finally {
      await file.release();
    }
    // Another file has taken the name of the one that was open.
    return info === undefined ? undefined : this.#openNow(digest);
  }

  async #openPath(digest: Digest): Promise<{ readonly file: SharedFile; readonly stats: BigIntStats } | undefined> {
    const opened = await openRegular(blobPath(this.#options.paths, digest));
    if (opened === 'absent' || opened === 'irregular') {
      await this.#records.settle(digest, await this.#records.look(digest));
      return undefined;
    }
    const { handle, stats } = opened;
    const file = new SharedFile(handle, this.opened.zombies, allocatedBytesOf(stats));
    this.opened.enter(digest, file);
    return { file, stats };
  }
}
