/** GET and HEAD of blobs: conditions, ranges, and the body. */
import type { BlobQuery } from '../../cache/contract/cache.ts';
import type { BlobView, BodySpan } from '../../fill/contract/blob-view.ts';
import { BrokenBodyError, CacheError } from '../../fill/contract/errors.ts';
import { isPart, isShortRange, maxUnprovedRangeBytes } from '../../fill/readers/reader.ts';
import { OciError } from '../../oci/errors.ts';
import { formatContentRange, formatUnsatisfied, parseRange, resolveRanges } from '../../headers/range.ts';
import {
  inList,
  type PackedRanges,
  PackedSpans,
  packRanges,
  type SpanList,
  unpackRanges,
} from '../../headers/packed-ranges.ts';
import { BodyWriter } from '../body/body.ts';
import { admitsRange, etagOf, matchesEtag } from '../../headers/etag.ts';
import type { FrontDeps } from './context.ts';
import type { Exchange } from '../request/exchange.ts';
import { type Multipart, multipart } from '../../headers/multipart.ts';
import { PartReaders } from './part-readers.ts';
import { sendParts } from './short-parts.ts';
import { type HeaderList, sendHead, writeHead } from '../request/respond.ts';

const blobType = 'application/octet-stream';
/** Bytes under a digest never change. */
export const foreverFresh = 'max-age=31536000, immutable';

interface Plan {
  readonly status: 200 | 206;
  readonly headers: HeaderList;
  readonly spans: SpanList<BodySpan>;
  readonly frame: Multipart | undefined;
}

/** `path` is the request's own, for Location. Rejects with what `toErrorAnswer` understands, before or after the head. */
export async function serveBlob(
  deps: FrontDeps,
  exchange: Exchange,
  query: Omit<BlobQuery, 'method' | 'ranges'>,
  path: string,
): Promise<void> {
  const { headers } = exchange.req;
  const ranges =
    exchange.isHead || !admitsRange(headers['if-range']?.toString(), query.digest) ? 'ignore' : rangesOf(headers.range);
  const isUnchanged = matchesEtag(headers['if-none-match'], query.digest);
  const needsBytes = !exchange.isHead && !isUnchanged && ranges !== 'unsatisfiable';
  using views = new DisposableStack();
  const ask = async (method: 'get' | 'head'): Promise<BlobView> => {
    const wanted = method === 'get' && typeof ranges !== 'string' ? ranges : undefined;
    const view = await deps.cache.blob({ ...query, method, ranges: wanted }, exchange.signal);
    views.defer(() => view.close());
    exchange.outcome = view.outcome;
    return view;
  };
  const view = await ask(needsBytes ? 'get' : 'head');
  if (isUnchanged) {
    sendHead(exchange, 304, identity(view));
  } else if (ranges === 'unsatisfiable') {
    throw unsatisfiable(view.sizeBytes);
  } else if (exchange.isHead) {
    sendHead(exchange, 200, [...wholeHeaders(view, path), ...lengthOf(view.sizeBytes)]);
  } else {
    const isCounted = ranges !== 'ignore' || exchange.req.httpVersion === '1.0';
    const sized = isCounted && view.sizeBytes === undefined ? await withSize(exchange, view, ask) : view;
    await sendBody(deps, exchange, sized, ranges === 'ignore' ? undefined : ranges, path);
  }
}

/**
 * The same blob once it is proved, and its size with that. A range needs the size; and a client of HTTP/1.0 takes any end
 * of the connection for the end of a body without a length, so that nothing may fail after its head.
 */
async function withSize(
  exchange: Exchange,
  view: BlobView,
  ask: (method: 'get') => Promise<BlobView>,
): Promise<BlobView> {
  const noLength = new CacheError('noLength', exchange.upstream ?? '', 'how long this blob is cannot be known yet');
  exchange.deadlineError = noLength;
  try {
    await view.proved(exchange.signal);
  } catch (error) {
    throw error instanceof BrokenBodyError && error.cause === undefined ? noLength : error;
  }
  if (view.sizeBytes !== undefined) return view;
  const again = await ask('get');
  // The store did not keep what was proved, and it comes once more.
  if (again.sizeBytes === undefined && !again.isProved) throw noLength;
  return again;
}

function rangesOf(header: string | undefined): PackedRanges | 'ignore' | 'unsatisfiable' {
  const ranges = header === undefined ? 'ignore' : parseRange(header);
  return typeof ranges === 'string' ? ranges : packRanges(ranges);
}

async function sendBody(
  deps: FrontDeps,
  exchange: Exchange,
  view: BlobView,
  ranges: PackedRanges | undefined,
  path: string,
): Promise<void> {
  const plan = planOf(view, ranges, path);
  using readers = new PartReaders(view, plan.spans, exchange.signal);
  const first = await readers.first();
  // A failure can be told as long as no head is out, so the first bytes come first.
  await first.readable(readers.groupFrom(0)?.span.start ?? 0, exchange.signal);
  // What lies in the store but cannot be read has to be brought again.
  exchange.outcome = view.outcome;
  markUnproved(exchange, view, plan);
  if (!writeHead(exchange, plan.status, plan.headers)) return;
  const writer = new BodyWriter(exchange.res, deps.body);
  try {
    await sendParts(writer, deps.body.pool, readers, plan, exchange.signal);
    writer.end();
  } catch (error) {
    writer.break();
    throw error;
  } finally {
    exchange.bytesSent = writer.bytesSent;
  }
}

/** Short parts of a blob that is still being filled leave before its proof, and any of one that is passed through; they say so. */
function markUnproved(exchange: Exchange, view: BlobView, { status, spans }: Plan): void {
  if (status !== 206 || view.isProved || exchange.outcome === undefined) return;
  const leavesEarly = view.outcome.kind === 'bypass' ? isPart : isShortRange;
  for (const span of inList(spans)) {
    if (!leavesEarly(span, view.sizeBytes)) continue;
    exchange.outcome = { ...exchange.outcome, detail: 'unproved' };
    return;
  }
}

function planOf(view: BlobView, ranges: PackedRanges | undefined, path: string): Plan {
  const { sizeBytes } = view;
  if (ranges === undefined) return wholePlan(view, path);
  // 200 with everything is no way out: some clients write what comes to the place that they asked for.
  if (sizeBytes === undefined) throw new CacheError('noLength', '', 'the size of the blob is not known yet');
  const resolved = resolveRanges(unpackRanges(ranges), sizeBytes);
  switch (resolved.kind) {
    case 'full':
      return wholePlan(view, path);
    case 'unsatisfiable':
      throw unsatisfiable(sizeBytes);
    case 'single': {
      const { span } = resolved;
      const range = ['Content-Range', formatContentRange(span, sizeBytes), ...lengthOf(span.end - span.start)];
      const headers = [...identity(view), 'Content-Type', blobType, ...range];
      return { status: 206, headers, spans: [span], frame: undefined };
    }
    case 'multi': {
      const spans = new PackedSpans(resolved.spans);
      const frame = multipart(spans, sizeBytes, blobType);
      const headers = [...identity(view), 'Content-Type', frame.contentType, ...lengthOf(frame.contentLength)];
      return { status: 206, headers, spans: heldBack(spans, view), frame };
    }
  }
}

/** Parts that are short, each by itself, may be together most of the blob, or all of it: such an answer ends with the proof. */
function heldBack(spans: SpanList, { sizeBytes = 0, outcome }: BlobView): SpanList<BodySpan> {
  const most = outcome.kind === 'bypass' ? Infinity : maxUnprovedRangeBytes;
  let total = 0;
  for (const { start, end } of inList(spans)) total += end - start;
  if (total <= most && total < sizeBytes) return spans;
  const { length } = spans;
  const at = (index: number): BodySpan | undefined => {
    const span = spans.at(index);
    return span === undefined || index < length - 1 ? span : { ...span, isHeldBack: true };
  };
  return { length, at };
}

function wholePlan(view: BlobView, path: string): Plan {
  const headers = [...wholeHeaders(view, path), ...lengthOf(view.sizeBytes)];
  return { status: 200, headers, spans: [{ start: 0, end: view.sizeBytes }], frame: undefined };
}

/** Ollama asks a blob's URL for the place where the bytes are, and wants to be told even when that is the same one. */
export function wholeHeaders(view: Pick<BlobView, 'digest'>, path: string): HeaderList {
  return [...identity(view), 'Content-Type', blobType, 'Location', path];
}

function identity({ digest }: Pick<BlobView, 'digest'>): HeaderList {
  return [
    'Docker-Content-Digest',
    digest,
    'ETag',
    etagOf(digest),
    'Accept-Ranges',
    'bytes',
    'Cache-Control',
    foreverFresh,
  ];
}

function lengthOf(bytes: number | undefined): HeaderList {
  return bytes === undefined ? [] : ['Content-Length', String(bytes)];
}

function unsatisfiable(sizeBytes: number | undefined): OciError {
  return new OciError('RANGE_INVALID', {
    message: 'the requested range cannot be satisfied',
    headers: { 'Content-Range': sizeBytes === undefined ? 'bytes */*' : formatUnsatisfied(sizeBytes) },
  });
}
