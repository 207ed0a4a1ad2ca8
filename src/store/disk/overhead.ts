/**
 * What weir's own files weigh: catalog, its log, index.json, quarantine. Catalog and index.json count up to their share
 * only: rows are trimmed (catalog-trim), and those that stay must not take the room of blobs. Asking costs nothing: the answer is at most a
 * second older than the last question, and measuring happens beside it.
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { hasCode } from '../../lib/system-error.ts';
import type { StorePaths } from '../files/paths.ts';
import type { Quarantine } from '../blobs/quarantine.ts';
import { allocatedBytesOf } from '../files/regular-file.ts';

const staleAfterMs = 1000;

export class Overhead {
  readonly #paths: StorePaths;
  readonly #quarantine: Quarantine;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #mostMetadataBytes: number;
  #bytes = 0;
  #measuredAtMs = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | undefined;

  constructor(paths: StorePaths, quarantine: Quarantine, clock: Clock, logger: Logger, mostMetadataBytes = Infinity) {
    this.#mostMetadataBytes = mostMetadataBytes;
    this.#paths = paths;
    this.#quarantine = quarantine;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** What counts. */
  get bytes(): number {
    return Math.min(this.metadataBytes, this.#mostMetadataBytes) + this.#quarantine.allocatedBytes;
  }

  /** What catalog, log and index.json take. */
  get metadataBytes(): number {
    if (this.#clock.monotonic() - this.#measuredAtMs > staleAfterMs) this.#measureBeside();
    return this.#bytes;
  }

  /** Measures now. Rejects with the system's error. */
  async measure(): Promise<void> {
    this.#measuredAtMs = this.#clock.monotonic();
    const names = await readdir(this.#paths.own);
    const paths = [this.#paths.index, ...names.map((name) => join(this.#paths.own, name))];
    const sizes = await Promise.all(paths.map(fileBytes));
    this.#bytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Resolves when nothing is being measured. */
  async close(): Promise<void> {
    this.#measuredAtMs = Number.POSITIVE_INFINITY;
    await this.#measuring;
  }

  #measureBeside(): void {
    this.#measuring ??= this.measure()
      .catch((error: unknown) => this.#logger.warn({ err: error }, "weir's own files cannot be measured"))
      .finally(() => (this.#measuring = undefined));
  }
}

async function fileBytes(path: string): Promise<number> {
  try {
    const stats = await lstat(path);
    return stats.isFile() ? allocatedBytesOf(stats) : 0;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 0;
    throw error;
  }
}
