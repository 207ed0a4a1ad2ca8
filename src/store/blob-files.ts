/**
 * The visible blobs. What exists is decided by the file under the digest's name, each time; the catalog's row adds how
 * large it must be and whether it was proved. A file that cannot be the blob is quarantined as soon as it is seen.
 */
import type { Stats } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Logger } from '../lib/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobInfo } from './blob-store.ts';
import { judge, lookAtBlob, type Verdict } from './blob-verdict.ts';
import type { Catalog } from './catalog.ts';
import { commitSpool, makeDurable } from './commit.ts';
import { DigestLocks } from './digest-locks.ts';
import { hasCode, storeError } from './io-errors.ts';
import { blobPath, type StorePaths } from './paths.ts';
import type { Quarantine } from './quarantine.ts';
import { allocatedBytesOf, openRegular } from './regular-file.ts';
import type { CleanStop } from './root.ts';
import { OpenBlobs, SharedFile } from './shared-file.ts';

export interface BlobFilesOptions {
  readonly paths: StorePaths;
  readonly catalog: Catalog;
  readonly quarantine: Quarantine;
  readonly cleanStop: CleanStop | undefined;
  readonly logger: Logger;
  readonly now: () => number;
  /** Looks only: changes neither files nor rows. */
  readonly isReadOnly: boolean;
}

export interface OpenedBlob {
  readonly info: BlobInfo;
  /** One reference, the caller's. */
  readonly file: SharedFile;
}

export class BlobFiles {
  readonly opened = new OpenBlobs();
  readonly #options: BlobFilesOptions;
  readonly #locks = new DigestLocks();

  constructor(options: BlobFilesOptions) {
    this.#options = options;
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    await this.#locks.settled(digest);
    const stats = await this.#look(digest);
    const row = this.#options.catalog.sealed(digest);
    if (!this.#locks.isHeld(digest)) {
      if (stats === undefined && row === undefined) return undefined;
      if (stats !== undefined && row !== undefined) {
        const verdict = this.#judge(digest, stats);
        if (verdict.kind === 'good') return this.#info(digest, stats, verdict.isSuspect);
      }
    }
    // File and row do not agree, or one of them changed while we looked.
    return this.examine(digest);
  }

  /** What the digest's readers share; the caller releases `file`. */
  async open(digest: Digest): Promise<OpenedBlob | undefined> {
    await this.#locks.settled(digest);
    const file = this.opened.find(digest);
    try {
      if (file === undefined) return await this.#locks.run(digest, () => this.#openNow(digest));
      const stats = await file.handle.stat();
      const isUnchanged = stats.nlink > 0 && this.opened.isCurrent(digest, file) && !this.#locks.isHeld(digest);
      if (isUnchanged && this.#options.catalog.sealed(digest) !== undefined) {
        const verdict = this.#judge(digest, stats);
        if (verdict.kind === 'good') return { info: this.#info(digest, stats, verdict.isSuspect), file: file.retain() };
      }
      return await this.#locks.run(digest, () => this.#openNow(digest));
    } catch (error) {
      throw storeError(error, `opening ${digest}`);
    } finally {
      await file?.release();
    }
  }

  /** Makes row and file agree, and says what is there. For recovery, and whenever the two were seen to differ. */
  examine(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#locks.run(digest, async () => this.#settle(digest, await this.#look(digest)));
  }

  /** The commit of a spool file that is complete and proved. Rejects with StoreError; then the blob is not there. */
  commit(digest: Digest, name: string, file: SharedFile, sizeBytes: number): Promise<BlobInfo> {
    const { paths, catalog } = this.#options;
    return this.#locks.run(digest, async () => {
      const isProved = (existingBytes: number): boolean => {
        const row = catalog.sealed(digest);
        return existingBytes === sizeBytes && row?.sizeBytes === sizeBytes && !row.isSuspect;
      };
      try {
        const { outcome, allocatedBytes } = await commitSpool({ paths, digest, name, handle: file.handle, isProved });
        file.allocatedBytes = allocatedBytes;
        if (outcome === 'existed') file.unlinked();
        else {
          this.opened.detach(digest);
          // Whoever asks for the blob now shares the descriptor of those who followed the fill.
          this.opened.enter(digest, file);
          catalog.recordSealed({ digest, sizeBytes, allocatedBytes });
        }
      } catch (error) {
        file.unlinked();
        await this.#settle(digest, await this.#look(digest));
        throw storeError(error, `storing ${digest}`);
      }
      return { digest, sizeBytes, path: blobPath(paths, digest), isSuspect: false };
    });
  }

  async prove(digest: Digest, sizeBytes: number): Promise<void> {
    const { paths, catalog } = this.#options;
    await this.#locks.run(digest, async () => {
      try {
        const allocatedBytes = await makeDurable(blobPath(paths, digest), sizeBytes);
        if (allocatedBytes !== undefined) catalog.recordSealed({ digest, sizeBytes, allocatedBytes });
      } catch (error) {
        throw storeError(error, `proving ${digest}`);
      }
    });
  }

  remove(digest: Digest): Promise<number | undefined> {
    const { paths, catalog } = this.#options;
    return this.#locks.run(digest, async () => {
      try {
        const stats = await this.#look(digest);
        // The row goes second: a kill in between leaves a row without a file, which the next look forgets.
        await rm(blobPath(paths, digest), { recursive: true, force: true });
        catalog.forgetSealed(digest);
        this.opened.detach(digest);
        return stats === undefined ? undefined : allocatedBytesOf(stats);
      } catch (error) {
        throw storeError(error, `removing ${digest}`);
      }
    });
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    await this.#locks.run(digest, () => this.#quarantineNow(digest, reason));
  }

  /** Under the lock. */
  async #openNow(digest: Digest): Promise<OpenedBlob | undefined> {
    const found = this.opened.find(digest);
    const opened = found === undefined ? await this.#openPath(digest) : { file: found };
    if (opened === undefined) return undefined;
    const { file } = opened;
    let info: BlobInfo | undefined;
    try {
      const stats = 'stats' in opened ? opened.stats : await file.handle.stat();
      // Deleted by hand while it was open: a zombie from now on.
      if (stats.nlink === 0) this.opened.detach(digest);
      info = await this.#settle(digest, stats.nlink === 0 ? await this.#look(digest) : stats);
      if (info !== undefined && stats.nlink > 0) return { info, file: file.retain() };
    } finally {
      await file.release();
    }
    // Another file has taken the name of the one that was open.
    return info === undefined ? undefined : this.#openNow(digest);
  }

  async #openPath(digest: Digest): Promise<{ readonly file: SharedFile; readonly stats: Stats } | undefined> {
    const opened = await openRegular(blobPath(this.#options.paths, digest));
    if (opened === 'absent' || opened === 'irregular') {
      await this.#settle(digest, await this.#look(digest));
      return undefined;
    }
    const { handle, stats } = opened;
    const file = new SharedFile(handle, this.opened.zombies, allocatedBytesOf(stats));
    this.opened.enter(digest, file);
    return { file, stats };
  }

  /** Under the lock: the row follows the file, and a file that cannot be the blob goes. */
  async #settle(digest: Digest, stats: Stats | undefined): Promise<BlobInfo | undefined> {
    const { catalog, logger, isReadOnly } = this.#options;
    const row = catalog.sealed(digest);
    if (stats === undefined) {
      if (row !== undefined && !isReadOnly) catalog.forgetSealed(digest);
      return undefined;
    }
    const verdict = this.#judge(digest, stats);
    if (verdict.kind === 'bad') {
      if (isReadOnly) return undefined;
      try {
        await this.#quarantineNow(digest, verdict.reason);
      } catch (error) {
        // It stays under its name; each look will try again, and none will call it a blob.
        logger.error({ digest, err: error }, 'a bad blob cannot be put aside');
      }
      return undefined;
    }
    const { isSuspect } = verdict;
    if (row === undefined && !isReadOnly) this.#recordFound(digest, stats, isSuspect);
    return this.#info(digest, stats, isSuspect);
  }

  #judge(digest: Digest, stats: Stats): Verdict {
    return judge(digest, stats, this.#options.catalog.sealed(digest), this.#options.cleanStop);
  }

  async #quarantineNow(digest: Digest, reason: string): Promise<void> {
    const { catalog, quarantine, logger, now } = this.#options;
    logger.warn({ digest, reason }, 'a stored blob is bad and was put aside');
    try {
      await quarantine.take(digest, reason, now());
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) {
        await this.#distrust(digest);
        throw storeError(error, `putting ${digest} aside`);
      }
    }
    catalog.forgetSealed(digest);
    this.opened.detach(digest, false);
  }

  /** A bad blob that cannot be moved must at least not be taken for a proved one. */
  async #distrust(digest: Digest): Promise<void> {
    const stats = await this.#look(digest);
    // One stat and its row show already that it is bad, each time.
    if (stats !== undefined && this.#judge(digest, stats).kind === 'bad') return;
    this.#options.catalog.forgetSealed(digest);
    if (stats !== undefined) this.#recordFound(digest, stats, true);
  }

  #recordFound(digest: Digest, stats: Stats, isSuspect: boolean): void {
    const allocatedBytes = allocatedBytesOf(stats);
    const { size: sizeBytes, mtimeMs: lastUsedMs } = stats;
    this.#options.catalog.recordFound({ digest, sizeBytes, allocatedBytes, lastUsedMs, isSuspect });
  }

  #look(digest: Digest): Promise<Stats | undefined> {
    return lookAtBlob(this.#options.paths, digest);
  }

  #info(digest: Digest, stats: Stats, isSuspect: boolean): BlobInfo {
    return { digest, sizeBytes: stats.size, path: blobPath(this.#options.paths, digest), isSuspect };
  }
}
