/**
 * What happens beside serving after each start: leftovers of the last run go, the catalog and the blobs are made to
 * agree. Nothing waits for this; until a file or row has been looked at here, each request looks for itself.
 */
import { opendir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import type { BlobFiles } from './blob-files.ts';
import { judge, lookAtBlob } from './blob-verdict.ts';
import type { CatalogThread } from './catalog-thread.ts';
import type { PartialTable } from './partials.ts';
import {
  blobAlgorithms,
  blobDirectory,
  digestOfBlobName,
  digestOfPartName,
  partNameOfSide,
  type StorePaths,
} from './paths.ts';
import type { Quarantine } from './quarantine.ts';
import type { SqliteCatalog } from './sqlite-catalog.ts';

export interface RecoverySummary {
  /** False when it was stopped or failed half-way; the next start does it again. */
  readonly isComplete: boolean;
  /** Files under `blobs/` that were looked at. */
  readonly blobs: number;
  /** Of those, the ones that the catalog did not know, or knew with another size. */
  readonly reconciled: number;
  /** Rows whose file is gone. */
  readonly forgotten: number;
  readonly partials: number;
  /** Tags found in index.json, when the catalog had to be rebuilt. */
  readonly tags: number;
}

export interface RecoveryParts {
  readonly paths: StorePaths;
  readonly catalog: SqliteCatalog;
  readonly blobs: BlobFiles;
  readonly partials: PartialTable;
  readonly quarantine: Quarantine;
  readonly thread: CatalogThread;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the ingest directory held before this run wrote into it. */
  readonly ingestNames: readonly string[];
  /** Rebuilds the catalog from index.json if that is due; resolves the number of tags. */
  readonly rebuild: (signal: AbortSignal) => Promise<number>;
}

const filesAtOnce = 32;
const rowsPerPage = 500;
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
    const { clock, logger, partials } = this.#parts;
    const startedMs = clock.monotonic();
    this.#reportedAtMs = startedMs;
    let isComplete = false;
    try {
      // Tags first: they make the difference for the next pull. Damage last: it is rare, and reads the whole catalog.
      this.#tags = await this.#parts.rebuild(this.#signal);
      await this.#clearIngest();
      await this.#parts.quarantine.measure();
      for (const algorithm of blobAlgorithms) await this.#walkBlobs(algorithm);
      await this.#forgetLostBlobs();
      await this.#checkCatalog();
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
    // Everything else in there is ours too: what a killed write left, and side files without their `.part`.
    const left = new Set(await readdir(paths.ingest));
    for (const name of ingestNames) {
      const part = partNameOfSide(name) ?? name;
      const isSpool = digestOfPartName(part) !== undefined && left.has(part);
      if (left.has(name) && !isSpool) await rm(join(paths.ingest, name), { recursive: true, force: true });
    }
  }

  async #walkBlobs(algorithm: DigestAlgorithm): Promise<void> {
    const { paths, logger } = this.#parts;
    let strangers = 0;
    let batch: Digest[] = [];
    for await (const { name } of await opendir(blobDirectory(paths, algorithm), { bufferSize: 256 })) {
      const digest = digestOfBlobName(algorithm, name);
      if (digest === undefined) strangers++;
      else batch.push(digest);
      if (batch.length < filesAtOnce) continue;
      await this.#lookAt(batch);
      batch = [];
    }
    await this.#lookAt(batch);
    if (strangers > 0)
      logger.warn({ directory: algorithm, files: strangers }, 'files among the blobs are not named like blobs');
  }

  async #lookAt(digests: readonly Digest[]): Promise<void> {
    this.#signal.throwIfAborted();
    await Promise.all(digests.map((digest) => this.#reconcile(digest)));
    this.#blobs += digests.length;
    this.#report();
  }

  async #reconcile(digest: Digest): Promise<void> {
    const { paths, catalog, blobs } = this.#parts;
    const stats = await lookAtBlob(paths, digest);
    const row = catalog.peekSealed(digest);
    if (stats !== undefined && row !== undefined && judge(digest, stats, row, undefined).kind === 'good') {
      this.#withRow++;
      return;
    }
    this.#reconciled++;
    if ((await blobs.examine(digest)) !== undefined) this.#withRow++;
  }

  /** Every file has its row now; more rows than files means that some of them have lost theirs. */
  async #forgetLostBlobs(): Promise<void> {
    const { catalog } = this.#parts;
    if (catalog.totals().blobs <= this.#withRow) return;
    let last: Digest | undefined;
    for (;;) {
      this.#signal.throwIfAborted();
      const rows = catalog.sealedAfter(last, rowsPerPage);
      for (let i = 0; i < rows.length; i += filesAtOnce) {
        await Promise.all(rows.slice(i, i + filesAtOnce).map(({ digest }) => this.#forgetIfLost(digest)));
      }
      last = rows.at(-1)?.digest;
      if (last === undefined) return;
    }
  }

  async #forgetIfLost(digest: Digest): Promise<void> {
    if ((await lookAtBlob(this.#parts.paths, digest)) !== undefined) return;
    if ((await this.#parts.blobs.examine(digest)) === undefined) this.#forgotten++;
  }

  async #checkCatalog(): Promise<void> {
    const damage = await this.#parts.thread.findDamage();
    if (damage !== undefined) this.#parts.catalog.database.replace(new Error(damage));
  }

  #report(): void {
    const { clock, logger } = this.#parts;
    const now = clock.monotonic();
    if (now - this.#reportedAtMs < reportEveryMs) return;
    this.#reportedAtMs = now;
    logger.info({ blobs: this.#blobs, reconciled: this.#reconciled }, 'looking through the cache root');
  }
}
