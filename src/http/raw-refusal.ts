/** Answers written straight to a socket, for what never became a request: they end the connection. */
import type { Duplex } from 'node:stream';
import { errorBody, type OciErrorCode } from '../oci/errors.ts';

const refusals = {
  badRequest: ['400 Bad Request', 'UNSUPPORTED', 'this is no valid HTTP/1.1 request'],
  headerTimeout: ['408 Request Timeout', 'UNSUPPORTED', 'the request header took too long'],
  headerTooLong: ['431 Request Header Fields Too Large', 'UNSUPPORTED', 'the request header is too long'],
  connect: ['405 Method Not Allowed', 'UNSUPPORTED', 'CONNECT is not supported'],
} as const satisfies Readonly<Record<string, readonly [string, OciErrorCode, string]>>;

export type RawRefusal = keyof typeof refusals;

/** The refusal that fits an error of Node's parser. */
export function refusalFor(code: string | undefined): RawRefusal {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headerTooLong';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'headerTimeout' : 'badRequest';
}

/** Nothing may have been written to `socket` for an answer that is not complete. */
export function refuseRaw(socket: Duplex, refusal: RawRefusal): void {
  const [status, code, message] = refusals[refusal];
  const body = errorBody(code, message);
  const head = [
    `HTTP/1.1 ${status}`,
    'Docker-Distribution-API-Version: registry/2.0',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(refusal === 'connect' ? ['Allow: GET, HEAD'] : []),
    'Connection: close',
  ];
  // Nobody else listens any more, and a peer that is gone need not be told.
  socket.on('error', () => socket.destroy());
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
