/**
 * The first request of a fill whose size is not known, when it is one for a part: because the first client wants that
 * part, or because the rest is better fetched beside it. Its answer also tells the size.
 */
import type { RequestRange } from '../../headers/range.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { ExchangeWorker } from '../../upstream/contract/worker-protocol.ts';
import type { AskedRange, BlobBody } from '../../upstream/contract/upstream.ts';
import type { BodySource } from '../download/resume.ts';
import type { PieceMap } from '../attempt/pieces.ts';
import { pieceBytes } from '../attempt/demand.ts';

/**
 * `part`: a body for `[start, end)`, and only that · `whole`: everything in one body, Range was ignored · `nothing`: the
 * plain request comes next; `error` is why, where there is a reason.
 */
export type FirstRequest =
  | { readonly kind: 'part' | 'whole'; readonly body: BlobBody; readonly start: number; readonly end: number }
  | { readonly kind: 'nothing'; readonly error?: UpstreamError };

export async function askFirst(
  source: BodySource,
  wanted: RequestRange,
  pieces: PieceMap,
  worker: ExchangeWorker | undefined,
  signal: AbortSignal,
): Promise<FirstRequest> {
  const repository = source.repository();
  let body: BlobBody;
  try {
    const request = {
      repository,
      digest: source.digest,
      range: askFor(wanted),
      party: source.party,
      mayBeTaken: () => source.isResumable,
      slot: source.takeSlot(),
      worker,
    };
    body = await source.upstream.openBlob({ ...request, avoidEndpoints: source.avoidEndpoints }, signal);
  } catch (error) {
    // A refusal may be about the range; any other failure meets the plain request too, which knows what to do about it.
    if (!(error instanceof UpstreamError)) return { kind: 'nothing' };
    // 416 says that this range lies beyond the end, and nothing about others.
    if (error.kind === 'rangeRefused' && error.status !== 416) source.ignoresRange = true;
    return { kind: 'nothing', error };
  }
  const { answer } = body;
  if (answer.kind === 'whole') source.ignoresRange = true;
  const { start, end } = answer.kind === 'whole' ? { start: 0, end: Infinity } : answer;
  const isAccepted = source.accept(
    repository,
    answer.kind === 'whole' ? answer.sizeBytes : answer.totalBytes,
    body.shown,
  );
  // With a partial, some of it may be there; then the demand brings what is not.
  if (isAccepted && pieces.isFree(start, end)) return { kind: answer.kind, body, start, end };
  body.abort();
  return { kind: 'nothing' };
}

function askFor(range: RequestRange): AskedRange {
  switch (range.kind) {
    case 'closed':
      return { kind: 'closed', start: range.first, end: Math.min(range.last + 1, range.first + pieceBytes) };
    case 'open':
      return { kind: 'closed', start: range.first, end: range.first + pieceBytes };
    case 'suffix':
      return { kind: 'suffix', suffixBytes: Math.min(Math.max(range.length, 1), pieceBytes) };
  }
}
