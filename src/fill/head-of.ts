/** Waiting for the head of a fill that may have been begun for nobody. */
import type { Repository } from '../oci/reference.ts';
import { isDenied, isNotFound, UpstreamError } from '../upstream/contract/errors.ts';
import type { Fill } from './fill.ts';
import type { FillHead } from './attempts.ts';

const queuedRetryMs = 5000;

/**
 * As `Fill.head`. Undefined when the fill was begun for nobody and has failed for a reason that a request of one's own may
 * not meet.
 */
export async function headOf(fill: Fill, repository: Repository, signal: AbortSignal): Promise<FillHead | undefined> {
  try {
    return await fill.head(repository, signal);
  } catch (error) {
    if (fill.isQueued && isLate(error)) throw queued(fill.upstream.key);
    if (!fill.wasPrefetch || signal.aborted || isNotFound(error) || isDenied(error)) throw error;
    return undefined;
  }
}

function isLate(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'timeout';
}

/** It was not the upstream that took so long, and with its last client the fill ends: it should come back. */
function queued(upstream: string): UpstreamError {
  const message = 'all transfers are taken, and this one has not had its turn';
  return new UpstreamError('exhausted', message, { upstream, retryAfterMs: queuedRetryMs });
}
