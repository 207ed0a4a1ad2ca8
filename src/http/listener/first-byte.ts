/**
 * A TLS listener's connections before their handshake. Whoever speaks plain HTTP there is told so, and not left with a
 * connection that closes without a word; whoever says nothing at all is not waited for.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import { refuseRaw } from './raw-refusal.ts';

export class FirstByte {
  readonly #waiting = new Set<Socket>();
  readonly #clock: Clock;
  readonly #waitMs: number;

  constructor(clock: Clock, waitMs: number) {
    this.#clock = clock;
    this.#waitMs = waitMs;
  }

  /** `goOn` is called once, with every byte that came still to be read, or never: then the socket is closed or will be. */
  await(socket: Socket, goOn: () => void): void {
    this.#waiting.add(socket);
    const leave = (): void => void socket.destroy();
    const onError = (): void => undefined;
    const onClose = (): void => void this.#waiting.delete(socket);
    socket.setTimeout(this.#waitMs, leave);
    socket.on('end', leave);
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.once('data', (chunk: Buffer) => {
      this.#waiting.delete(socket);
      socket.pause();
      socket.setTimeout(0, leave);
      socket.off('end', leave);
      socket.off('close', onClose);
      if (isPlainText(chunk)) {
        refuseRaw(socket, 'plainHttp', this.#clock);
        return;
      }
      socket.unshift(chunk);
      goOn();
      socket.off('error', onError);
    });
  }

  /** Closes those that have said nothing yet. */
  drain(): void {
    for (const socket of this.#waiting) socket.destroy();
  }
}

/** A method begins with a letter, a record of TLS with the number of its kind. */
function isPlainText(chunk: Buffer): boolean {
  return /^[A-Za-z]/.test(chunk.toString('latin1', 0, 1));
}
