/** An ingest's two files between its owners: nobody has them open, and whoever takes this over may. */
import { type FileHandle, rm } from 'node:fs/promises';
import type { IngestKey, Interval } from '../contract/blob-store.ts';
import { partPath, sideName, type StorePaths } from '../files/paths.ts';

export interface KeptPartial {
  readonly key: IngestKey;
  /** Of the `.part`. */
  readonly name: string;
  readonly sizeBytes: number | undefined;
  readonly synced: readonly Interval[];
  readonly allocatedBytes: number;
  readonly updatedAtMs: number;
}

export interface IngestStart {
  readonly key: IngestKey;
  readonly name: string;
  /** Writes; owned by the ingest from here on. */
  readonly writer: FileHandle;
  readonly resumed: readonly Interval[];
  readonly claimedSizeBytes: number | undefined;
  readonly allocatedBytes: number;
}

/** The side file last: without its `.part` it is nothing, and a `.part` without it would be thrown away. */
export async function removePart(paths: StorePaths, name: string): Promise<void> {
  await rm(partPath(paths, name), { force: true });
  await rm(partPath(paths, sideName(name)), { force: true });
}
