/** Clients that ask and then read nothing: bare sockets, each bound to the address that it should come from. */
import { connect, type Socket } from 'node:net';
import { eventually } from '../../support/gate.ts';

export class Idlers implements Disposable {
  readonly #sockets: Socket[] = [];
  readonly #port: number;
  /** First lines of the answers. */
  readonly statuses: string[] = [];
  closed = 0;

  constructor(port: number) {
    this.#port = port;
  }

  /** Resolves when each of them has the beginning of its answer, or was closed. `head`: more lines of each request. */
  async ask(paths: readonly string[], localAddress = '127.0.0.1', head = ''): Promise<void> {
    const expected = this.statuses.length + this.closed + paths.length;
    this.begin(paths, localAddress, head);
    await eventually(
      () => this.statuses.length + this.closed >= expected,
      () => `${this.statuses.length} of ${expected} answers, ${this.closed} closed`,
      120_000,
    );
  }

  /** Asks, and waits for nothing. */
  begin(paths: readonly string[], localAddress: string, head = ''): void {
    for (const path of paths) {
      const socket = connect({ port: this.#port, host: '127.0.0.1', localAddress });
      socket.once('data', (chunk: Buffer) => {
        socket.pause();
        this.statuses.push(chunk.toString('latin1').split('\r\n')[0] ?? '');
      });
      socket.on('close', () => void this.closed++);
      socket.on('error', () => undefined);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\n${head}\r\n`);
      this.#sockets.push(socket);
    }
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
