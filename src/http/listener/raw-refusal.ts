/** Answers written straight to a socket, for what never became a request: they end the connection. */
import type { Duplex } from 'node:stream';
import type { Clock } from '../../lib/clock.ts';
import { errorBody, type OciErrorCode } from '../../oci/errors.ts';

const refusals = {
  badRequest: ['400 Bad Request', 'UNSUPPORTED', 'this is no valid HTTP/1.1 request'],
  plainHttp: ['400 Bad Request', 'UNSUPPORTED', 'client sent an HTTP request to an HTTPS server'],
  headerTimeout: ['408 Request Timeout', 'UNSUPPORTED', 'the request header took too long'],
  headerTooLong: ['431 Request Header Fields Too Large', 'UNSUPPORTED', 'the request header is too long'],
  connect: ['405 Method Not Allowed', 'UNSUPPORTED', 'CONNECT is not supported'],
  version: ['505 HTTP Version Not Supported', 'UNSUPPORTED', 'only HTTP/1.1 and HTTP/1.0 are spoken here'],
} as const satisfies Readonly<Record<string, readonly [string, OciErrorCode, string]>>;

export type RawRefusal = keyof typeof refusals;

/** For some hundred bytes. A client that takes none of them would hold the connection for ever. */
const takeMs = 10_000;

/** The refusal that fits an error of Node's parser. */
export function refusalFor(code: string | undefined): RawRefusal {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headerTooLong';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'headerTimeout' : 'badRequest';
}

/** Nothing may have been written to `socket` for an answer that is not complete. It is destroyed in 10 s, whatever happens. */
export function refuseRaw(socket: Duplex, refusal: RawRefusal, clock: Clock): void {
  // Nobody else listens any more, and a peer that is gone need not be told.
  socket.on('error', () => socket.destroy());
  if (!socket.writable) {
    socket.destroy();
    return;
  }
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
  const timer = clock.setTimer(takeMs, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
