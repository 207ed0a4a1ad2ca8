/** The line that each request leaves. Values are what clients sent, so nothing in them may look like another line. */
import { outcomeLabel } from '../../headers/cache-status.ts';
import type { LogFields } from '../../lib/log.ts';
import { ClientGoneError, type Exchange } from './exchange.ts';
import { escaped, readable } from './text.ts';

/** Of every line; pino's other lines begin in the same way. */
const beforeTime = '{"level":"info","time":"';
const afterTime = 'Z","service":"weir","room":"http",';
const maxUserAgentLength = 200;

/** The fields of one request, at its end. What is not known is left out. */
export function accessLine(exchange: Exchange, status: number): LogFields {
  const { req, clientId, upstream, repository, reference, error } = exchange;
  const host = req.headers.host;
  const userAgent = req.headers['user-agent'];
  return {
    requestId: exchange.id,
    ...(clientId === undefined ? {} : { clientRequestId: clientId }),
    method: req.method,
    ...(host === undefined ? {} : { host: escaped(host) }),
    ...(upstream === undefined ? {} : { upstream }),
    ...(repository === undefined ? {} : { repository }),
    kind: exchange.kind,
    ...(reference === undefined ? {} : { reference }),
    status,
    bytes: exchange.bytesSent,
    seconds: rounded(exchange.seconds()),
    outcome: outcomeLabel(exchange.outcome),
    ...(userAgent === undefined ? {} : { userAgent: escaped(userAgent.slice(0, maxUserAgentLength)) }),
    ...(error === undefined ? {} : { error: causeOf(error) }),
  };
}

/** One line of the log. Formatted here because there is one for each request: pino takes four times as long. */
export function accessText(fields: LogFields, nowMs: number): string {
  return `${beforeTime}${isoTime(nowMs)}${afterTime}${JSON.stringify(fields).slice(1, -1)},"msg":"request"}\n`;
}

/** Gives the line of a request whose other fields are always the same: its id, its duration in seconds, and when. */
export type AccessTemplate = (id: string, seconds: number, nowMs: number) => string;

export interface RepeatedRequest {
  readonly method: string;
  readonly host: string;
  readonly upstream: string;
  readonly repository: string;
  readonly kind: string;
  readonly reference: string;
  readonly status: number;
  readonly bytes: number;
  readonly outcome: string;
  readonly userAgent: string | undefined;
}

/** The same line as `accessText` makes of `accessLine`, with only three things left to put in. */
export function accessTemplate(request: RepeatedRequest): AccessTemplate {
  const { method, host, upstream, repository, kind, reference, status, bytes, outcome, userAgent } = request;
  const front = JSON.stringify({ method, host: escaped(host), upstream, repository, kind, reference, status, bytes });
  const agent = userAgent === undefined ? {} : { userAgent: escaped(userAgent.slice(0, maxUserAgentLength)) };
  const back = JSON.stringify({ outcome, ...agent });
  const beforeSeconds = `",${front.slice(1, -1)},"seconds":`;
  const afterSeconds = `,${back.slice(1, -1)},"msg":"request"}\n`;
  return (id, seconds, nowMs) =>
    `${beforeTime}${isoTime(nowMs)}${afterTime}"requestId":"${id}${beforeSeconds}${rounded(seconds)}${afterSeconds}`;
}

/** To the microsecond. */
function rounded(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6;
}

let lastMs = Number.NaN;
let lastText = '';

/** Without its zone. The same text serves all lines of a millisecond. */
function isoTime(nowMs: number): string {
  if (nowMs !== lastMs) {
    lastMs = nowMs;
    lastText = new Date(nowMs).toISOString().slice(0, -1);
  }
  return lastText;
}

/** The chain of causes in one line, without stacks. */
function causeOf(error: unknown): string {
  if (error instanceof ClientGoneError) return error.message;
  const parts: string[] = [];
  for (let at = error; at instanceof Error && parts.length < 5; at = at.cause) {
    const { message } = at;
    if (!parts.some((part) => part.includes(message))) parts.push(message);
  }
  return readable(parts.length === 0 ? String(error) : parts.join(': '));
}
