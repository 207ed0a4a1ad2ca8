/**
 * Pipelined requests wait for their turn. Node starts a handler for every request that it has parsed, thousands for one
 * connection; here a handler starts only when its response owns the socket, so that what waits behind another answer has
 * opened, joined and counted nothing. Beyond a few waiting requests the socket is not read any further.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** Unanswered requests of one connection at which reading stops. */
export const maxUnanswered = 16;

interface RequestQueue {
  unanswered: number;
  isPaused: boolean;
}

/** Wraps `handler`, which must not throw. One wrapper per server. */
export function inTurn(handler: RequestHandler): RequestHandler {
  const queues = new WeakMap<Socket, RequestQueue>();

  function update(socket: Socket, queue: RequestQueue): void {
    if (queue.unanswered >= maxUnanswered) {
      // Also when it is paused already: Node resumes reading by itself with each request that it has dealt with.
      queue.isPaused = true;
      socket.pause();
    } else if (queue.isPaused) {
      queue.isPaused = false;
      socket.resume();
    }
  }

  return (req, res) => {
    const { socket } = req;
    const queue = queues.get(socket) ?? { unanswered: 0, isPaused: false };
    queues.set(socket, queue);
    queue.unanswered++;
    // The rest of what has been read is parsed before the next tick, and each request in it resumes the socket.
    if (queue.unanswered === maxUnanswered) process.nextTick(update, socket, queue);
    res.once('close', () => {
      queue.unanswered--;
      update(socket, queue);
    });
    // Null until it is this response's turn, whatever the type says.
    if (res.socket !== null) handler(req, res);
    else res.once('socket', () => handler(req, res));
  };
}

/** Ends a connection so that no client can take what it got for everything: a reset where the transport has one. */
export function breakConnection(socket: Socket | null): void {
  if (socket === null || socket.destroyed) return;
  // TLS has no reset; there the missing close_notify and the missing bytes tell. A socket that is ending has sent all that
  // it was given, and libuv refuses to reset it while its FIN is under way (uv_tcp_close_reset), which leaks the handle.
  if ('encrypted' in socket || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
