/** What one client sees of a blob that is on its way: the fill that it follows, or a transfer of its own. */
import type { Clock } from '../../lib/clock.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { BlobQuery } from '../contract/cache.ts';
import type { BlobView } from '../../fill/contract/blob-view.ts';
import { openPassthrough, proveFirstBytes } from '../../fill/readers/passthrough-view.ts';
import { BrokenBodyError, CacheError } from '../../fill/contract/errors.ts';
import type { CacheEvents } from '../../fill/contract/events.ts';
import type { Fill } from '../../fill/fill.ts';
import type { FillTable } from '../../fill/fills.ts';
import { FillView } from '../../fill/view.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import type { FillHead } from '../../fill/attempts.ts';

export interface OnItsWay {
  readonly query: BlobQuery;
  readonly fill: Fill;
  readonly head: Exclude<FillHead, { kind: 'stored' }>;
  /** The fill was begun for this request. */
  readonly isNew: boolean;
}

export interface ViewDeps {
  readonly clock: Clock;
  readonly events: CacheEvents;
  readonly fills: Pick<FillTable, 'isRefused'>;
}

/** Rejects with UpstreamError or CacheError. */
export async function viewOf(
  { clock, events, fills }: ViewDeps,
  { query, fill, head, isNew }: OnItsWay,
  signal: AbortSignal,
): Promise<BlobView> {
  const { digest, repository, ranges, client = '' } = query;
  const { upstream } = fill;
  const sizeBytes = head.kind === 'filling' ? head.attempt.sizeBytes : undefined;
  const bypass = (): Promise<BlobView> =>
    openPassthrough({ upstream, digest, repository, client, clock, events, ranges, sizeBytes }, signal);
  // What is known not to be kept costs those who want parts of it these parts.
  const isOwn = fill.isPassedThrough && ranges !== undefined;
  if (head.kind === 'bypass' || isOwn) return bypass();
  const { attempt } = head;
  const outcome = outcomeOf(fill, isNew, fills.isRefused);
  const view = new FillView({ fill, attempt, repository, outcome, client, clock, events });
  if (query.method === 'head' || view.sizeBytes === undefined || view.sizeBytes > proveFirstBytes) return view;
  // Small enough to be proved before a head is written, so that a failure becomes an honest answer.
  try {
    await view.proved(signal);
    return view;
  } catch (error) {
    view.close();
    if (view.isFrozen) return bypass();
    const cause = error instanceof BrokenBodyError ? error.cause : undefined;
    throw cause instanceof CacheError || cause instanceof UpstreamError ? cause : error;
  }
}

function outcomeOf(fill: Fill, isNew: boolean, isRefused: boolean): Outcome {
  if (fill.isPassedThrough) return { kind: 'bypass' };
  if (!isNew) return { kind: 'miss', isCollapsed: true };
  return isRefused ? { kind: 'miss' } : { kind: 'miss', isStored: true };
}
