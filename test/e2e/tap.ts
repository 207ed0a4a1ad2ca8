/** A TCP proxy that remembers what clients sent through it and can break its line once, in the middle of an answer. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class Tap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #sent: Buffer[] = [];
  #answeredBytes = 0;
  #bytesToCut = Number.POSITIVE_INFINITY;
  #cuts = 0;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#accept(client, targetPort));
  }

  /** Listens on a loopback port of its own in front of another one. */
  static async start(targetPort: number): Promise<Tap> {
    const tap = new Tap(targetPort);
    tap.#server.listen(0, '127.0.0.1');
    await once(tap.#server, 'listening');
    return tap;
  }

  /** `host:port`. */
  get host(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no TCP address');
    return `127.0.0.1:${address.port}`;
  }

  /** Everything the clients sent so far: request lines and headers, as long as nobody uploads. */
  get sent(): string {
    return Buffer.concat(this.#sent).toString('latin1');
  }

  /** Bytes that came back, heads of answers included. */
  get answeredBytes(): number {
    return this.#answeredBytes;
  }

  /** How often the line has been cut. */
  get cuts(): number {
    return this.#cuts;
  }

  /** After so many more bytes of answers the connection that carries the last of them ends, once. */
  cutAfter(bytes: number): void {
    this.#bytesToCut = bytes;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket, targetPort: number): void {
    const target = connect(targetPort, '127.0.0.1');
    const pair = [client, target] as const;
    for (const socket of pair) {
      this.#sockets.add(socket);
      // One side's end is the other's; there is nobody else to tell.
      socket.once('error', () => pair.forEach((one) => one.destroy()));
      socket.once('close', () => {
        this.#sockets.delete(socket);
        pair.forEach((one) => one.destroy());
      });
    }
    client.on('data', (piece: Buffer) => {
      this.#sent.push(piece);
      if (!target.write(piece)) {
        client.pause();
        target.once('drain', () => client.resume());
      }
    });
    target.on('data', (piece: Buffer) => {
      this.#answeredBytes += piece.length;
      this.#bytesToCut -= piece.length;
      const isFull = !client.write(piece);
      if (this.#bytesToCut <= 0) {
        this.#bytesToCut = Number.POSITIVE_INFINITY;
        this.#cuts += 1;
        target.destroy();
      } else if (isFull) {
        target.pause();
        client.once('drain', () => target.resume());
      }
    });
    client.once('end', () => target.end());
    target.once('end', () => client.end());
  }
}
