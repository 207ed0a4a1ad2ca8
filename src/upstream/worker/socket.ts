/**
 * Sockets that read into one buffer for ever, for an undici Client: a fresh buffer for each read, and the garbage that it
 * becomes, is most of what receiving costs.
 *
 * What `read()` returns is a view of that buffer, overwritten by the next read from the network: whoever gets it uses it up
 * before the event is over. What the parser gives back (`unshift`) is copied. TLS hands out what it has decrypted already
 * even when it has been told to stop, so whatever comes while something is waiting is copied behind it.
 */
import { type Socket, connect as tcpConnect, type TcpNetConnectOpts } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';

/** A read brings what the kernel has, and loopback or a fast network has a lot. */
const readBytes = 256 * 1024;

export function pooledTcp(options: TcpNetConnectOpts): Socket {
  const reads = new Reads();
  return reads.attach(tcpConnect({ ...options, onread: reads.onread }));
}

/** Connects and shakes hands by itself: over a socket that is there already, Node would not use the buffer. */
export function pooledTls(options: ConnectionOptions & TcpNetConnectOpts): Socket {
  const reads = new Reads();
  return reads.attach(tlsConnect({ ...options, onread: reads.onread } as ConnectionOptions));
}

class Reads {
  readonly #buffer = Buffer.allocUnsafeSlow(readBytes);
  /** What was read and not taken, in order. Only the last may be a view of the buffer, and only inside the callback. */
  #waiting: Buffer[] = [];
  #socket: Socket | undefined;

  readonly onread = {
    buffer: this.#buffer,
    callback: (length: number, buffer: Uint8Array): boolean => this.#arrived(length, buffer),
  };

  attach(socket: Socket): Socket {
    this.#socket = socket;
    const readOn = socket.read.bind(socket);
    // With an argument it is Node itself that wants the handle to read on, and drops what it gets.
    socket.read = (size?: number): unknown =>
      size === undefined ? (this.#waiting.shift() ?? readOn()) : (readOn(size) as unknown);
    socket.unshift = (rest: Uint8Array): void => {
      if (rest.byteLength > 0) this.#waiting.unshift(Buffer.from(rest));
    };
    return socket;
  }

  /** False stops the handle until the next `read()` that finds nothing waiting. */
  #arrived(length: number, buffer: Uint8Array): boolean {
    const isBehind = this.#waiting.length > 0;
    const view = Buffer.from(buffer.buffer, buffer.byteOffset, length);
    this.#waiting.push(isBehind ? Buffer.from(view) : view);
    if (isBehind) return false;
    this.#socket?.emit('readable');
    const [left] = this.#waiting;
    // Nobody listens yet, or nobody took it.
    if (left === view) this.#waiting[0] = Buffer.from(view);
    return this.#waiting.length === 0;
  }
}
