/**
 * What happens beside serving after each start: leftovers of the last run go, the catalog and the blobs are made to
 * agree. Nothing waits for this; until a file or row has been looked at here, each request looks for itself.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { BlobFiles } from '../blobs/blobs.ts';
import { judge, lookAtBlob } from '../blobs/check.ts';
import type { PartialTable } from '../ingest/partials.ts';
import { digestOfPartName, isIngestName, partNameOfSide, type StorePaths } from '../files/paths.ts';
import type { Quarantine } from '../blobs/quarantine.ts';
import { RecoveryThread } from './walker.ts';
import { removeName } from '../root/tree.ts';
import type { Metadata } from '../metadata/metadata.ts';

export interface RecoverySummary {
  /** False when it was stopped or failed half-way; the next start does it again. */
  readonly isComplete: boolean;
  /** Files under `blobs/` that were looked at. */
  readonly blobs: number;
  /** Of those, the ones that the catalog did not know, or not as they are. */
  readonly reconciled: number;
  /** Rows whose file is gone. */
  readonly forgotten: number;
  readonly partials: number;
  /** Tags found in index.json, when the catalog had to be rebuilt. */
  readonly tags: number;
}

export interface RecoveryParts {
  readonly paths: StorePaths;
  readonly metadata: Metadata;
  readonly blobs: BlobFiles;
  readonly partials: PartialTable;
  readonly quarantine: Quarantine;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the ingest directory held before this run wrote into it. */
  readonly ingestNames: readonly string[];
  /** Rebuilds the catalog from index.json if that is due; resolves the number of tags. */
  readonly rebuild: (signal: AbortSignal) => Promise<number>;
}

const filesAtOnce = 32;
const reportEveryMs = 10_000;

export class Recovery {
  readonly #parts: RecoveryParts;
  readonly #signal: AbortSignal;
  #blobs = 0;
  #withRow = 0;
  #reconciled = 0;
  #forgotten = 0;
  #tags = 0;
  #reportedAtMs = 0;

  constructor(parts: RecoveryParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  /** Never rejects. */
  async run(): Promise<RecoverySummary> {
    const { paths, metadata, clock, logger, partials } = this.#parts;
    const startedMs = clock.monotonic();
    this.#reportedAtMs = startedMs;
    let isComplete = false;
    try {
      // Tags first: they make the difference for the next pull. Damage last: it is rare, and reads the whole catalog.
      this.#tags = await this.#parts.rebuild(this.#signal);
      await this.#clearIngest();
      await this.#parts.quarantine.measure();
      // Committed, so that the thread sees what a rebuild has found.
      metadata.flush();
      const data = { root: paths.root, isMetadataShared: metadata.database.isShared };
      await using thread = new RecoveryThread(data, this.#signal);
      await this.#walkBlobs(thread);
      await this.#forgetLostBlobs(thread);
      await this.#checkMetadata(thread);
      isComplete = true;
    } catch (error) {
      if (!this.#signal.aborted) logger.error({ err: error }, 'recovery stopped half-way; the next start tries again');
    }
    const summary = {
      isComplete,
      blobs: this.#blobs,
      reconciled: this.#reconciled,
      forgotten: this.#forgotten,
      partials: partials.list().length,
      tags: this.#tags,
    };
    logger.info(
      { ...summary, durationMs: Math.round(clock.monotonic() - startedMs) },
      'the cache root was looked through',
    );
    return summary;
  }

  async #clearIngest(): Promise<void> {
    const { paths, partials, ingestNames } = this.#parts;
    for (const digest of partials.unseen()) {
      this.#signal.throwIfAborted();
      await partials.look(digest);
    }
    // What a killed write left, and side files without their `.part`. A name that weir does not make is somebody else's.
    const left = new Set(await readdir(paths.ingest));
    for (const name of ingestNames) {
      const part = partNameOfSide(name) ?? name;
      const isPart = digestOfPartName(part) !== undefined && left.has(part);
      if (left.has(name) && !isPart && isIngestName(name)) await removeName(join(paths.ingest, name));
    }
  }

  async #walkBlobs(thread: RecoveryThread): Promise<void> {
    let strangers = 0;
    for await (const step of thread.walk('files')) {
      strangers += step.strangers;
      this.#withRow += step.seen - step.differing.length;
      await this.#forEach(step.differing, (digest) => this.#reconcile(digest));
      this.#blobs += step.seen;
      this.#report();
    }
    if (strangers > 0) this.#parts.logger.warn({ files: strangers }, 'files among the blobs are not named like blobs');
  }

  /** The thread knows what is committed only, so a new blob may look wrong to it. */
  async #reconcile(digest: Digest): Promise<void> {
    const { paths, metadata, blobs } = this.#parts;
    const stats = await lookAtBlob(paths, digest);
    const row = metadata.blobs.peek(digest);
    const verdict = stats === undefined ? undefined : judge(digest, stats, row, undefined);
    if (verdict?.kind === 'good' && (verdict.row === 'current' || verdict.row === 'moved')) {
      this.#withRow++;
      return;
    }
    this.#reconciled++;
    if ((await blobs.examine(digest)) !== undefined) this.#withRow++;
  }

  /** Every file has its row now; more rows than files means that some of them have lost theirs. */
  async #forgetLostBlobs(thread: RecoveryThread): Promise<void> {
    const { metadata } = this.#parts;
    if (metadata.blobs.totals().blobs <= this.#withRow) return;
    for await (const { differing } of thread.walk('rows')) {
      await this.#forEach(differing, (digest) => this.#forgetIfLost(digest));
    }
  }

  async #forgetIfLost(digest: Digest): Promise<void> {
    if ((await lookAtBlob(this.#parts.paths, digest)) !== undefined) return;
    if ((await this.#parts.blobs.examine(digest)) === undefined) this.#forgotten++;
  }

  async #forEach(digests: readonly Digest[], action: (digest: Digest) => Promise<void>): Promise<void> {
    for (let i = 0; i < digests.length; i += filesAtOnce) {
      this.#signal.throwIfAborted();
      await Promise.all(digests.slice(i, i + filesAtOnce).map(action));
    }
  }

  async #checkMetadata(thread: RecoveryThread): Promise<void> {
    const { metadata, logger } = this.#parts;
    const { damage, failure } = await thread.check();
    if (failure !== undefined) logger.warn({ reason: failure }, 'the catalog could not be checked');
    if (damage !== undefined) metadata.database.replace(new Error(damage));
  }

  #report(): void {
    const { clock, logger } = this.#parts;
    const now = clock.monotonic();
    if (now - this.#reportedAtMs < reportEveryMs) return;
    this.#reportedAtMs = now;
    logger.info({ blobs: this.#blobs, reconciled: this.#reconciled }, 'looking through the cache root');
  }
}
