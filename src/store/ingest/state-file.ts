/**
 * The JSON beside a `.part`: what it is, where it comes from, and which of its bytes were durable when this was written.
 * Bytes outside of `synced` may be anything, zeros after a power loss among them.
 */
import { IntervalSet } from '../../lib/interval-set.ts';
import { parseDigest } from '../../oci/digest.ts';
import { isJsonObject, listField, parseJson } from '../../lib/json/json.ts';
import type { IngestKey, Interval } from '../contract/blob-store.ts';

export interface SideFile {
  readonly key: IngestKey;
  readonly sizeBytes: number | undefined;
  readonly synced: readonly Interval[];
  readonly updatedAtMs: number;
}

/** A piece map of 40 GiB in pieces of 4 MiB, all of them apart, is far below this. */
export const maxSideFileBytes = 4 * 1024 * 1024;

export function formatSideFile({ key, sizeBytes, synced, updatedAtMs }: SideFile): string {
  const intervals = synced.map(({ start, end }) => [start, end]);
  return `${JSON.stringify({ ...key, ...(sizeBytes === undefined ? {} : { sizeBytes }), synced: intervals, updatedAtMs })}\n`;
}

/** Each interval has two numbers and a bracket. */
const bounds = { depth: 8, items: 1_048_576 };

/** Undefined for anything that weir would not write. */
export function parseSideFile(bytes: Uint8Array): SideFile | undefined {
  // Torn or foreign: the caller treats it as any other side file that says nothing.
  const document = parseJson(bytes, bounds);
  if (!isJsonObject(document)) return undefined;
  const { digest: digestText, upstream, sizeBytes, updatedAtMs } = document;
  const digest = typeof digestText === 'string' ? parseDigest(digestText) : undefined;
  if (digest === undefined || typeof upstream !== 'string' || !isCount(updatedAtMs)) return undefined;
  if (sizeBytes !== undefined && !isCount(sizeBytes)) return undefined;
  const synced = new IntervalSet();
  // Ascending as they are written: what goes in before others moves all of them.
  let endOfLast = 0;
  for (const pair of listField(document, 'synced')) {
    if (!Array.isArray(pair)) return undefined;
    const [start, end]: readonly unknown[] = pair;
    if (!isCount(start) || !isCount(end) || end < start || start < endOfLast) return undefined;
    synced.add(start, end);
    endOfLast = end;
  }
  return { key: { digest, upstream }, sizeBytes, synced: synced.entries(), updatedAtMs };
}

/** The part of the intervals that lies below `limit`. */
export function clipIntervals(intervals: readonly Interval[], limit: number): readonly Interval[] {
  return intervals.filter(({ start }) => start < limit).map(({ start, end }) => ({ start, end: Math.min(end, limit) }));
}

export function intervalBytes(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, { start, end }) => sum + end - start, 0);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
