/** One transfer: the bytes of one claim from the upstream into the ingest. Which bytes, and when, is for `Scheduler`. */
import type { WorkerBody } from '../../upstream/contract/worker-protocol.ts';
import type { BlobBody } from '../../upstream/contract/upstream.ts';
import { type BodySource, resumedBody, type Moved } from './resume.ts';
import type { Attempt } from '../attempt/attempt.ts';
import type { Claim } from '../attempt/pieces.ts';
import { moveByThread } from './worker-download.ts';
import type { Reservation } from '../space/reservation.ts';
import { LocalWriter } from './local-writer.ts';

export interface Move {
  readonly attempt: Attempt;
  readonly source: BodySource;
  readonly reservation: Reservation;
  /** The caller's, to be released when this has ended. It may shrink and grow on the way. */
  readonly claim: Claim;
  /** A body that was opened already and begins where the claim does. */
  readonly opened?: BlobBody;
  /** Somebody else brings these bytes too in the end: without ranges they are not worth a transfer. */
  readonly isRangeOnly?: boolean;
  /** It runs beside others of this blob, over a connection that nobody waits for, and ends with its first failure. */
  readonly isOpportunistic?: boolean;
}

/**
 * Resolves when the claim, as long as it is by then, is written. Rejects with UpstreamError, StoreError, or the signal's
 * reason. In both cases nothing is being written any more.
 */
export async function move(options: Move, signal: AbortSignal): Promise<void> {
  const { attempt, source, reservation, claim, opened, isRangeOnly = false, isOpportunistic = false } = options;
  const { pieces } = attempt;
  const writer = new LocalWriter(attempt, claim, reservation);
  const askedEnd = claim.end;
  try {
    const end = (): number | undefined => (Number.isFinite(claim.end) ? claim.end : undefined);
    const bodyRange = {
      start: claim.position,
      end,
      isRangeOnly,
      isOpportunistic,
      worker: () => attempt.remote?.thread,
      move: async (body: WorkerBody, skipBytes: number): Promise<Moved> => {
        try {
          await writer.flush();
        } catch (error) {
          // Nobody else knows of it: its connection, and the leave to use one, would never come back.
          body.abort();
          body.ended();
          throw error;
        }
        return moveByThread({ attempt, claim, reservation, upstream: source.upstream.key, body, skipBytes, signal });
      },
      ...(opened === undefined ? {} : { opened }),
    };
    for await (const chunk of resumedBody(source, bodyRange, signal)) {
      const wait = writer.push(chunk);
      // A body that ends here by itself leaves its connection to the next one; any other is left, and so destroyed. Asked
      // before anything can extend the claim: what it did not take of this chunk is gone.
      const isCutShort = claim.end < Math.min(askedEnd, pieces.sizeBytes ?? Infinity);
      const isOver = isCutShort && pieces.isCommitted(claim);
      if (wait !== undefined) await wait;
      if (isOver) break;
    }
    await writer.flush();
    // A clean end of a body without length is the only thing that tells the size.
    if (pieces.sizeBytes === undefined) attempt.setSize(claim.position);
  } finally {
    // Nobody else may write here before the last write has ended.
    await writer.idle();
  }
}
