/** Heads and small bodies. Every header of an answer is decided here or handed in here, before its first byte. */
import { formatCacheStatus } from '../../headers/cache-status.ts';
import { errorBody } from '../../oci/errors.ts';
import type { ErrorAnswer } from './errors.ts';
import type { Exchange } from './exchange.ts';

/** Header names and values in turn, as `writeHead` takes them without copying them into an object first. */
export type HeaderList = readonly string[];

export const jsonType = 'application/json';
const oneStringBytes = 32 * 1024;

/** Writes status and headers, with those that every answer has. Returns false when nobody is there to read them. */
export function writeHead(exchange: Exchange, status: number, headers: HeaderList): boolean {
  exchange.headWritten();
  if (exchange.isGone) return false;
  const { clientId, id, outcome, namespace } = exchange;
  exchange.res.writeHead(status, completeHeaders({ id: clientId ?? id, outcome, namespace }, headers));
  return true;
}

/** `headers` with those that every answer has. */
export function completeHeaders(
  { id, outcome, namespace }: Pick<Exchange, 'id' | 'outcome' | 'namespace'>,
  headers: HeaderList,
): string[] {
  const list = [
    'Docker-Distribution-API-Version',
    'registry/2.0',
    'X-Request-Id',
    id,
    'X-Content-Type-Options',
    'nosniff',
    ...headers,
  ];
  if (outcome !== undefined) list.push('Cache-Status', formatCacheStatus(outcome));
  if (namespace !== undefined) list.push('OCI-Namespace', namespace);
  return list;
}

/** A whole answer from memory. For HEAD the body is left out and every header stays. */
export function sendBytes(exchange: Exchange, status: number, headers: HeaderList, body: Uint8Array | string): void {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
  if (!writeHead(exchange, status, [...headers, 'Content-Length', String(length)])) return;
  if (exchange.isHead) {
    exchange.res.end();
    return;
  }
  exchange.bytesSent = length;
  exchange.isFromMemory = true;
  // Head and a small body leave in one write as one string; as two buffers they cost the gathering write of two.
  if (typeof body === 'string') exchange.res.end(body);
  else if (length <= oneStringBytes)
    exchange.res.end(Buffer.from(body.buffer, body.byteOffset, length).toString('latin1'), 'latin1');
  else exchange.res.end(body);
}

/** Status and headers alone: 304, and answers to HEAD. */
export function sendHead(exchange: Exchange, status: number, headers: HeaderList): void {
  if (writeHead(exchange, status, headers)) exchange.res.end();
}

export function sendJson(
  exchange: Exchange,
  status: number,
  body: unknown,
  { contentType = jsonType, headers = [] }: { readonly contentType?: string; readonly headers?: HeaderList } = {},
): void {
  sendBytes(exchange, status, ['Content-Type', contentType, ...headers], JSON.stringify(body));
}

export function sendError(exchange: Exchange, answer: ErrorAnswer): void {
  const headers = ['Content-Type', jsonType];
  for (const [name, value] of Object.entries(answer.headers)) headers.push(name, value);
  sendBytes(exchange, answer.status, headers, errorBody(answer.code, answer.message, answer.detail));
}
