/**
 * A TCP proxy that makes a loopback connection long, or breaks it: every byte arrives half a round trip later, and the
 * handshake costs a whole one. There is no loss and no slow start, so real long lines are worse.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface ProxyOptions {
  readonly targetPort: number;
  readonly roundTripMs: number;
}

/** More than a round trip holds at the speeds that are measured here; beyond it the sender waits. */
const queueBytes = 16 * 1024 * 1024;

/** Carries what `from` sends to `to`, each piece when it is due. `onBytes` is told before a piece is taken. */
function carry(from: Socket, to: Socket, dueAfterMs: () => number, onBytes: (count: number) => void): void {
  const queue: { readonly piece: Buffer; readonly dueMs: number }[] = [];
  let queued = 0;
  let lastDueMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const deliver = (): void => {
    timer = undefined;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0.5) {
        timer = setTimeout(deliver, waitMs);
        return;
      }
      queue.shift();
      queued -= next.piece.length;
      if (next.piece.length === 0) to.end();
      else to.write(next.piece);
    }
    if (to.writableLength > queueBytes) {
      from.pause();
      to.once('drain', () => from.resume());
    } else from.resume();
  };
  const enqueue = (piece: Buffer): void => {
    // Never before what came earlier, although the first piece waits for the handshake as well.
    lastDueMs = Math.max(lastDueMs, performance.now() + dueAfterMs());
    queue.push({ piece, dueMs: lastDueMs });
    queued += piece.length;
    if (queued > queueBytes) from.pause();
    if (timer === undefined) timer = setTimeout(deliver, Math.max(0, lastDueMs - performance.now()));
  };
  from.on('data', (piece: Buffer) => {
    onBytes(piece.length);
    enqueue(piece);
  });
  from.on('end', () => enqueue(Buffer.alloc(0)));
}

export class DelayProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #options: ProxyOptions;
  #bytesToCut: number | undefined;

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  static async start(options: ProxyOptions): Promise<DelayProxy> {
    const proxy = new DelayProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no TCP address');
    return address.port;
  }

  /** After so many more bytes from the target every connection breaks, once. */
  cutAfter(bytes: number): void {
    this.#bytesToCut = bytes;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    const { targetPort, roundTripMs } = this.#options;
    const openMs = performance.now() + roundTripMs;
    const target = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const pair = [client, target] as const;
    for (const socket of pair) {
      this.#sockets.add(socket);
      // One side's failure is the other's; there is nobody else to tell.
      socket.once('error', () => pair.forEach((one) => one.destroy()));
      socket.once('close', () => {
        this.#sockets.delete(socket);
        if (socket.destroyed && !socket.readableEnded) pair.forEach((one) => one.destroy());
      });
    }
    const untilOpen = (): number => Math.max(0, openMs - performance.now()) + roundTripMs / 2;
    carry(client, target, untilOpen, () => undefined);
    carry(
      target,
      client,
      () => roundTripMs / 2,
      (count) => this.#count(count),
    );
  }

  #count(bytes: number): void {
    if (this.#bytesToCut === undefined) return;
    this.#bytesToCut -= bytes;
    if (this.#bytesToCut > 0) return;
    this.#bytesToCut = undefined;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}
