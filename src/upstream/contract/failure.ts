/** From what sockets and undici throw to UpstreamError, with a reason that a person can act on. */
import { errorCode } from '../../lib/system-error.ts';
import { UpstreamError, type UpstreamErrorKind } from './errors.ts';

/** The reason in a few words: the code where there is one, the reasons of all attempts where there were several. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) {
    return [...new Set(cause.errors.map(reasonOf))].join('; ');
  }
  if (!(cause instanceof Error)) return String(cause);
  const code = errorCode(cause);
  // Errors of the file system name files of ours, which are nobody else's business.
  if (code !== undefined && 'path' in cause) return code;
  const message = plainMessage(cause.message);
  if (code === undefined || message.includes(code)) return message;
  return message === '' ? code : `${message} (${code})`;
}

const nodesAdvice = '; if the root CA is installed locally, try running Node.js with ';

/**
 * Without what OpenSSL and Node put around it: `<thread>:error:<number>:<library>:<function>:wrong version number:<file and
 * line>`, and advice on Node's options, which are not how weir is told.
 */
export function plainMessage(message: string): string {
  const reason = /^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):/i.exec(message)?.[1];
  if (reason !== undefined) return reason;
  const advice = message.indexOf(nodesAdvice);
  return advice === -1 ? message : message.slice(0, advice);
}

/** Why no response head came over a connection that was there. */
export function headFailure(cause: unknown, upstream: string, place: string): UpstreamError {
  if (cause instanceof UpstreamError) return cause;
  const kind = isProtocolError(cause) ? 'badResponse' : 'unreachable';
  return new UpstreamError(kind, `${place}: ${reasonOf(cause)}`, { upstream, cause, isFraming: isFraming(cause) });
}

/** Why a body broke after its head. */
export function bodyFailure(cause: unknown, upstream: string, place: string): UpstreamError {
  if (cause instanceof UpstreamError) return cause;
  return new UpstreamError('cut', `body from ${place} broke: ${reasonOf(cause)}`, { upstream, cause });
}

/**
 * On a connection that has carried an exchange before, this may be what that one left behind: the server closed it while
 * it lay idle, or sent a body after HEAD. A new connection tells.
 */
export function isLeftover(error: UpstreamError): boolean {
  if (error.kind === 'badResponse') return isProtocolError(error.cause);
  const code = errorCode(error.cause);
  return error.kind === 'unreachable' && (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE');
}

export function failure(kind: UpstreamErrorKind, upstream: string, message: string, cause?: unknown): UpstreamError {
  return new UpstreamError(kind, message, { upstream, cause });
}

/** What the parser says of lengths and chunks, and of an interim answer that nobody asked for. */
function isFraming(cause: unknown): boolean {
  return cause instanceof Error && /content-length|transfer-encoding|^bad response$/i.test(cause.message);
}

/** The peer speaks, but not HTTP/1.1 as we understand it. */
export function isProtocolError(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  const code = errorCode(cause) ?? '';
  if (code.startsWith('HPE_') || cause.name === 'HTTPParserError' || code === 'UND_ERR_HEADERS_OVERFLOW') return true;
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' || code === 'UND_ERR_INVALID_ARG') return true;
  // undici says so of an interim answer that it did not ask for, and of one that nobody asked for.
  return code === 'UND_ERR_SOCKET' && (cause.message === 'bad response' || cause.message === 'bad upgrade');
}
