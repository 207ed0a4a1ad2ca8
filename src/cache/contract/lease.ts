/** Leases: hits that may be given again from memory for a while. */
import type { Stamp } from '../../lib/change-counters.ts';
import type { LeasedAnswer, ManifestAnswer } from './cache.ts';

/**
 * Longest answer that is given from memory, and so the longest that is leased. What is longer goes out from a file, which
 * costs three questions to the owner of the cache where threads serve.
 */
export const longestInMemory = 128 * 1024;

/** Whatever is leased is looked at again after this, which also keeps its recency true. */
const longestMs = 30_000;
/** Files can go behind our back, and the answer to a HEAD of a blob says that its file is there. Bytes stay right. */
export const longestWithoutBytesMs = 1_000;

export interface LeaseTerms {
  readonly stamp: Stamp;
  /** How long the answer is fresh; Infinity for ever. */
  readonly freshMs: number;
  readonly longest?: number;
}

export function lease(
  content: Pick<LeasedAnswer, 'digest' | 'sizeBytes' | 'bytes' | 'mediaType'>,
  { stamp, freshMs, longest = longestMs }: LeaseTerms,
): LeasedAnswer {
  const { digest, sizeBytes, bytes, mediaType } = content;
  const isFinite = Number.isFinite(freshMs);
  const outcome: ManifestAnswer['outcome'] = isFinite
    ? { kind: 'hit', ttlSeconds: Math.ceil(freshMs / 1000) }
    : { kind: 'hit' };
  return {
    digest,
    sizeBytes,
    bytes,
    mediaType,
    outcome,
    stamp,
    holdsMs: Math.min(freshMs, longest),
    freshMs: isFinite ? freshMs : undefined,
  };
}
