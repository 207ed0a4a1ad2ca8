/**
 * Bodies that clients send although weir takes none, mostly of pushes. A short one is read and dropped, so that the
 * answer arrives and the connection can be used again; behind a long one the connection ends.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../lib/clock.ts';

/** A manifest of the largest usual size, and a little. */
const maxBytes = 4.25 * 1024 * 1024;
const maxMs = 5_000;

/** Resolves when the body is over or too long to wait for; in that case the answer will end the connection. */
export async function drainRequest(req: IncomingMessage, res: ServerResponse, clock: Clock): Promise<void> {
  const { headers } = req;
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return;
  if (Number(headers['content-length'] ?? 0) > maxBytes || headers.expect !== undefined) {
    // The client has not been told to go on, or would send for long: the answer is all that it gets.
    res.shouldKeepAlive = false;
    return;
  }
  const isOver = await new Promise<boolean>((resolve) => {
    let bytes = 0;
    const timer = clock.setTimer(maxMs, () => settle(false));
    const settle = (value: boolean): void => {
      timer.cancel();
      resolve(value);
    };
    req.on('data', (chunk: Uint8Array) => {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) settle(false);
    });
    req.once('end', () => settle(true));
    req.once('error', () => settle(false));
    req.once('close', () => settle(false));
  });
  if (!isOver) {
    req.pause();
    res.shouldKeepAlive = false;
  }
}
