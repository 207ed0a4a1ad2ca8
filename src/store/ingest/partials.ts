/**
 * Kept partials: part files that nobody has open. Those of earlier runs are known by name from the start and looked at
 * one by one, in the background or when somebody asks for their digest, whichever comes first.
 */
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { IngestKey, PartialInfo } from '../contract/blob-store.ts';
import { digestOfPartName, partPath, sideName, type StorePaths } from '../files/paths.ts';
import { allocatedBytesOf, openRegular, readRegular } from '../files/regular-file.ts';
import { clipIntervals, intervalBytes, maxSideFileBytes, parseSideFile } from './state-file.ts';
import { type KeptPartial, removePart } from './files.ts';

export interface PartialTableOptions {
  readonly paths: StorePaths;
  readonly logger: Logger;
  /** What the ingest directory held before this run wrote into it. */
  readonly names: readonly string[];
  readonly now: () => number;
  /** Older partials of earlier runs are removed. */
  readonly partialTtlMs: number;
}

export class PartialTable {
  readonly #options: PartialTableOptions;
  readonly #kept = new Map<string, KeptPartial>();
  /** Names of earlier runs that nobody has looked at. */
  readonly #unseen = new Map<Digest, Set<string>>();
  readonly #looking = new Map<Digest, Promise<void>>();
  #allocatedBytes = 0;

  constructor(options: PartialTableOptions) {
    this.#options = options;
    for (const name of options.names) {
      const digest = digestOfPartName(name);
      if (digest === undefined) continue;
      const names = this.#unseen.get(digest) ?? new Set();
      this.#unseen.set(digest, names.add(name));
    }
  }

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Digests whose files of earlier runs have not been looked at. */
  unseen(): readonly Digest[] {
    return [...this.#unseen.keys()];
  }

  /** Oldest first. */
  list(): readonly PartialInfo[] {
    return [...this.#kept.values()]
      .map(({ key, allocatedBytes, updatedAtMs }) => ({ key, allocatedBytes, updatedAtMs }))
      .sort((one, other) => one.updatedAtMs - other.updatedAtMs);
  }

  /** Takes the partial of that key out of the table: its files belong to the caller. */
  async take(key: IngestKey): Promise<KeptPartial | undefined> {
    await this.look(key.digest);
    const partial = this.#kept.get(keyText(key));
    if (partial !== undefined) this.#forget(partial);
    return partial;
  }

  /** Of two partials of one key, the one with more bytes stays. */
  async put(partial: KeptPartial): Promise<void> {
    const other = this.#kept.get(keyText(partial.key));
    const loser = other === undefined ? undefined : betterOf(partial, other) === partial ? other : partial;
    if (other !== undefined && loser === other) this.#forget(other);
    if (loser !== partial) {
      this.#kept.set(keyText(partial.key), partial);
      this.#allocatedBytes += partial.allocatedBytes;
    }
    if (loser !== undefined) await removePart(this.#options.paths, loser.name);
  }

  async remove(key: IngestKey): Promise<void> {
    const partial = await this.take(key);
    if (partial !== undefined) await removePart(this.#options.paths, partial.name);
  }

  /** Looks at what earlier runs left for a digest, once. Never rejects: what cannot be read is not resumable. */
  async look(digest: Digest): Promise<void> {
    const names = this.#unseen.get(digest);
    if (names !== undefined) {
      this.#unseen.delete(digest);
      const looking = this.#lookAt(digest, names).finally(() => this.#looking.delete(digest));
      this.#looking.set(digest, looking);
    }
    await this.#looking.get(digest);
  }

  async #lookAt(digest: Digest, names: ReadonlySet<string>): Promise<void> {
    for (const name of names) {
      try {
        const partial = await this.#read(name);
        if (partial === undefined || partial.key.digest !== digest) await removePart(this.#options.paths, name);
        else await this.put(partial);
      } catch (error) {
        this.#options.logger.warn(
          { name, err: error },
          'a part file of an earlier run can be neither read nor removed',
        );
      }
    }
  }

  /** Undefined when it is finished, stale, or holds nothing that can be trusted. */
  async #read(name: string): Promise<KeptPartial | undefined> {
    const { paths, now, partialTtlMs } = this.#options;
    const bytes = await readRegular(partPath(paths, sideName(name)), maxSideFileBytes);
    const side = bytes === undefined ? undefined : parseSideFile(bytes);
    const opened = await openRegular(partPath(paths, name));
    if (opened === 'absent' || opened === 'irregular') return undefined;
    await opened.handle.close();
    // Two names: the kill came between link and unlink, and the blob is in the store.
    if (side === undefined || opened.stats.nlink !== 1n) return undefined;
    // A clock that was ahead when this was written does not make it old.
    if (now() - side.updatedAtMs > partialTtlMs) return undefined;
    const synced = clipIntervals(side.synced, Number(opened.stats.size));
    if (intervalBytes(synced) === 0) return undefined;
    const { key, sizeBytes } = side;
    const updatedAtMs = Math.min(side.updatedAtMs, now());
    return { key, name, sizeBytes, synced, allocatedBytes: allocatedBytesOf(opened.stats), updatedAtMs };
  }

  #forget(partial: KeptPartial): void {
    this.#kept.delete(keyText(partial.key));
    this.#allocatedBytes -= partial.allocatedBytes;
  }
}

function betterOf(one: KeptPartial, other: KeptPartial): KeptPartial {
  return intervalBytes(one.synced) >= intervalBytes(other.synced) ? one : other;
}

function keyText({ digest, upstream }: IngestKey): string {
  return `${digest}\n${upstream}`;
}
