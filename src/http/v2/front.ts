/** The main listener's handler: refuses what is no plain HTTP request, then `/`, then `/v2/`, and an account at the end. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { outcomeLabel } from '../../headers/cache-status.ts';
import { OciError } from '../../oci/errors.ts';
import { accessLine, accessText } from '../request/access-log.ts';
import { memoryStallMs } from '../listener/backlogs.ts';
import type { FrontDeps } from './context.ts';
import { type ErrorAnswer, outcomeOfFailure, toErrorAnswer } from '../request/errors.ts';
import { Exchange } from '../request/exchange.ts';
import { breakConnection, type RequestHandler } from '../listener/pipelining.ts';
import { drainRequest } from './request-body.ts';
import { sendBytes, sendError } from '../request/respond.ts';
import { serveV2 } from './v2.ts';

const greeting = 'weir: a pull-through cache for OCI registries. The registry API is at /v2/.\n';

/** Answers requests until the server stops. The handler never throws, and every request ends in an answer or a broken connection. */
export function createFront(deps: FrontDeps): RequestHandler {
  return (req, res) => {
    const exchange = new Exchange(req, res, deps.clock);
    exchange.onEnd(() => report(deps, exchange));
    // Owned here: `answer` deals with every failure itself.
    void answer(deps, exchange);
  };
}

async function answer(deps: FrontDeps, exchange: Exchange): Promise<void> {
  try {
    refuseAmbiguity(exchange.req);
    await drainRequest(exchange.req, exchange.res, deps.clock);
    await route(deps, exchange);
  } catch (error) {
    fail(deps, exchange, error);
  }
  watchEnd(deps, exchange);
}

/** What its client does not take would otherwise stay for ever: of an answer from memory all of it, of others the end. */
function watchEnd({ clock, backlogs, stallMs = memoryStallMs, body: { stalls } }: FrontDeps, exchange: Exchange): void {
  const { res } = exchange;
  const pendingSinceMs = clock.monotonic();
  // By then the socket has taken nearly all of them.
  setImmediate(() => {
    if (res.writableFinished || res.closed) return;
    const { socket } = res;
    if (exchange.isFromMemory && socket !== null) {
      backlogs.add(socket);
      // Node looks whether the kernel has taken some of it, and sets a time of its own for an idle connection afterwards.
      res.setTimeout(stallMs, () => breakConnection(socket));
      res.prependOnceListener('finish', () => socket.setTimeout(0));
      return;
    }
    const watched = { pendingSinceMs, cut: () => breakConnection(res.socket) };
    stalls.add(watched);
    res.once('close', () => stalls.delete(watched));
  });
}

async function route(deps: FrontDeps, exchange: Exchange): Promise<void> {
  const { method, url = '' } = exchange.req;
  if (url !== '/' && !url.startsWith('/?')) {
    await serveV2(deps, exchange);
    return;
  }
  if (method !== 'GET' && method !== 'HEAD') throw new OciError('UNSUPPORTED', { headers: { Allow: 'GET, HEAD' } });
  sendBytes(exchange, 200, ['Content-Type', 'text/plain; charset=utf-8'], greeting);
}

/** What may stand in a Host header. */
export const hostPattern = /^[A-Za-z0-9._:[\]-]{0,260}$/;

/** Two parties that read a request differently are what request smuggling is made of (RFC 9112 §3.2). */
function refuseAmbiguity(req: IncomingMessage): void {
  const { rawHeaders } = req;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') hosts++;
  if (hosts > 1 || (hosts === 0 && req.httpVersion !== '1.0')) throw badRequest('exactly one Host header is needed');
  if (!hostPattern.test(req.headers.host ?? '')) throw badRequest('the Host header is malformed');
}

function badRequest(message: string): OciError {
  return new OciError('UNSUPPORTED', { status: 400, message });
}

function fail(deps: FrontDeps, exchange: Exchange, error: unknown): void {
  const { res } = exchange;
  // What a cancelled wait rejects with says less than why it was cancelled.
  const cause: unknown = exchange.signal.aborted && !res.headersSent ? exchange.signal.reason : error;
  exchange.error = cause;
  if (!res.headersSent) exchange.outcome = outcomeOfFailure(cause) ?? exchange.outcome;
  if (exchange.isGone) return;
  if (res.headersSent) {
    breakConnection(res.socket);
    return;
  }
  const subject = exchange.kind === 'ping' ? 'other' : exchange.kind;
  const reply = hinted(toErrorAnswer(cause, subject, exchange.id), exchange.hint);
  if (reply.isUnexpected) {
    deps.logger.error(
      { err: cause, requestId: exchange.id, method: exchange.req.method, upstream: exchange.upstream },
      'request failed',
    );
  }
  try {
    sendError(exchange, reply);
  } catch (broken) {
    // A head that cannot be written is a defect; the client at least must not wait for it.
    deps.logger.error({ err: broken, requestId: exchange.id }, 'no answer could be written');
    breakConnection(res.socket);
  }
}

function hinted(reply: ErrorAnswer, hint: string | undefined): ErrorAnswer {
  return hint === undefined || reply.status !== 404 ? reply : { ...reply, message: `${reply.message} (${hint})` };
}

function report(deps: FrontDeps, exchange: Exchange): void {
  const { req, res } = exchange;
  const code = statusOf(res);
  deps.events.requestEnded({
    upstream: exchange.upstream,
    kind: exchange.kind,
    method: req.method ?? '',
    outcome: outcomeLabel(exchange.outcome),
    code,
    seconds: exchange.seconds(),
    bytes: exchange.bytesSent,
  });
  deps.accessLog?.(accessText(accessLine(exchange, code), deps.clock.now()));
}

/** nginx's word for a client that left before it was told anything. */
function statusOf(res: ServerResponse): number {
  return res.headersSent ? res.statusCode : 499;
}
