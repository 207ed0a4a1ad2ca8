/** Makes a blob's row and its file agree. All but `judge` and `look` are called under the digest's lock. */
import type { BigIntStats } from 'node:fs';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { BlobInfo } from '../contract/blob-store.ts';
import { judge, lookAtBlob, type Verdict } from './check.ts';
import type { Metadata } from '../metadata/metadata.ts';
import { isSameFile, stampOf, type FileStamp } from '../contract/file-stamp.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from '../files/errors.ts';
import { blobPath, type StorePaths } from '../files/paths.ts';
import type { Quarantine } from './quarantine.ts';
import { allocatedBytesOf } from '../files/regular-file.ts';
import type { OpenBlobs } from '../files/open-files.ts';

export interface BlobRecordsOptions {
  readonly paths: StorePaths;
  readonly metadata: Metadata;
  readonly quarantine: Quarantine;
  /** When the last daemon stopped, if it did so in order; epoch milliseconds of the system. */
  readonly stoppedAtMs: number | undefined;
  readonly logger: Logger;
  readonly now: () => number;
  /** Looks only: changes neither files nor rows. */
  readonly isReadOnly: boolean;
  /** The bytes are those that were proved, by all that can be seen, but the file is another: it is to be proved beside. */
  readonly onMoved?: (digest: Digest) => void;
}

export class BlobRecords {
  readonly #options: BlobRecordsOptions;
  readonly #opened: OpenBlobs;

  constructor(options: BlobRecordsOptions, opened: OpenBlobs) {
    this.#options = options;
    this.#opened = opened;
  }

  look(digest: Digest): Promise<BigIntStats | undefined> {
    return lookAtBlob(this.#options.paths, digest);
  }

  judge(digest: Digest, stats: BigIntStats): Verdict {
    return judge(digest, stats, this.#options.metadata.blobs.get(digest), this.#options.stoppedAtMs);
  }

  /** What is there, if file and row agree as they are; undefined: `settle` has to see to it. */
  agreed(digest: Digest, stats: BigIntStats): BlobInfo | undefined {
    const verdict = this.judge(digest, stats);
    if (verdict.kind === 'bad' || (verdict.row !== 'current' && verdict.row !== 'moved')) return undefined;
    if (verdict.row === 'moved') this.#options.onMoved?.(digest);
    return this.#info(digest, stats, verdict.isSuspect);
  }

  /** The row follows the file, and a file that cannot be the blob goes. */
  async settle(digest: Digest, stats: BigIntStats | undefined): Promise<BlobInfo | undefined> {
    const { metadata, logger, isReadOnly } = this.#options;
    if (stats === undefined) {
      if (!isReadOnly && metadata.blobs.get(digest) !== undefined) metadata.blobs.forget(digest);
      return undefined;
    }
    const verdict = this.judge(digest, stats);
    if (verdict.kind === 'bad') {
      if (isReadOnly) return undefined;
      try {
        await this.quarantine(digest, verdict.reason);
      } catch (error) {
        // It stays under its name; each look will try again, and none will call it a blob.
        logger.error({ digest, err: error }, 'a bad blob cannot be put aside');
      }
      return undefined;
    }
    if (!isReadOnly) this.#renew(digest, stats, verdict.row);
    return this.#info(digest, stats, verdict.isSuspect);
  }

  /** These very bytes were hashed, and are right, in the file that had `stamp`. */
  async renew(digest: Digest, stamp: FileStamp): Promise<void> {
    const stats = await this.look(digest);
    const row = this.#options.metadata.blobs.get(digest);
    if (stats === undefined || row === undefined || row.isSuspect || !isSameFile(stamp, stampOf(stats))) return;
    if (row.stamp?.mtimeNs === stamp.mtimeNs) this.#options.metadata.blobs.restamp(digest, stamp);
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    const { metadata, quarantine, logger, now } = this.#options;
    logger.warn({ digest, reason }, 'a stored blob is bad and was put aside');
    try {
      await quarantine.take(digest, reason, now());
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) {
        await this.#distrust(digest);
        throw storeError(error, `putting ${digest} aside`);
      }
    }
    metadata.blobs.forget(digest);
    this.#opened.detach(digest, false);
  }

  #renew(digest: Digest, stats: BigIntStats, row: Extract<Verdict, { kind: 'good' }>['row']): void {
    const { metadata, onMoved } = this.#options;
    switch (row) {
      case 'current':
        return;
      case 'old':
        metadata.blobs.restamp(digest, stampOf(stats));
        return;
      case 'moved':
        onMoved?.(digest);
        return;
      case 'absent':
      case 'changed':
        this.#recordSuspect(digest, stats);
    }
  }

  /** A bad blob that cannot be moved must at least not be taken for a proved one. */
  async #distrust(digest: Digest): Promise<void> {
    const stats = await this.look(digest);
    // One stat and its row show already that it is bad, each time.
    if (stats !== undefined && this.judge(digest, stats).kind === 'bad') return;
    this.#options.metadata.blobs.forget(digest);
    if (stats !== undefined) this.#recordSuspect(digest, stats);
  }

  #recordSuspect(digest: Digest, stats: BigIntStats): void {
    const allocatedBytes = allocatedBytesOf(stats);
    const [sizeBytes, lastUsedMs] = [Number(stats.size), Number(stats.mtimeMs)];
    this.#options.metadata.blobs.recordSuspect({ digest, sizeBytes, allocatedBytes, lastUsedMs });
  }

  #info(digest: Digest, stats: BigIntStats, isSuspect: boolean): BlobInfo {
    return { digest, sizeBytes: Number(stats.size), path: blobPath(this.#options.paths, digest), isSuspect };
  }
}
