/** Pulls bytes off a socket, and nothing ahead of the caller but what the socket's own small buffer holds. */
import type { Socket } from 'node:net';

export type ReadEnd = 'open' | 'fin' | 'reset' | 'closed';

export class ByteReader {
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #end: ReadEnd = 'open';
  #wake: () => void = () => undefined;

  /**
   * `eager`: take a little ahead of the caller, so that the end of the stream is noticed while nobody reads. Without it
   * nothing is taken before it is asked for.
   */
  constructor(socket: Socket, eager = false) {
    this.#socket = socket;
    const end = (how: ReadEnd) => () => {
      if (this.#end === 'open') this.#end = how;
      this.#wake();
    };
    socket.on('readable', () => {
      if (eager) this.#readAhead();
      this.#wake();
    });
    socket.on('end', end('fin'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNRESET' ? 'reset' : 'closed')());
    socket.on('close', end('closed'));
  }

  /** How the other side ended, as far as it has been noticed. `closed`: this side did, or some other error. */
  get end(): ReadEnd {
    return this.#end;
  }

  /** Resolves at least one and at most `max` bytes; undefined at the end of the stream. */
  async some(max: number): Promise<Buffer | undefined> {
    if (!(await this.#fill())) return undefined;
    const taken = this.#buffer.subarray(0, max);
    this.#buffer = this.#buffer.subarray(taken.length);
    return taken;
  }

  /** Exactly `count` bytes, or undefined when the stream ends before. */
  async exactly(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0;) {
      const part = await this.some(left);
      if (part === undefined) return undefined;
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** A line in latin1 without its CRLF or LF, or undefined when the stream ends before it is complete. */
  async line(): Promise<string | undefined> {
    let text = '';
    for (;;) {
      if (!(await this.#fill())) return undefined;
      const newline = this.#buffer.indexOf(0x0a);
      const part = this.#buffer.subarray(0, newline === -1 ? this.#buffer.length : newline + 1);
      this.#buffer = this.#buffer.subarray(part.length);
      text += part.toString('latin1');
      if (newline !== -1) return text.replace(/\r?\n$/, '');
    }
  }

  /** Header lines up to the empty line, or undefined when the stream ends before it. */
  async headerLines(): Promise<(readonly [string, string])[] | undefined> {
    const lines: (readonly [string, string])[] = [];
    for (;;) {
      const line = await this.line();
      if (line === undefined) return undefined;
      if (line === '') return lines;
      const colon = line.indexOf(':');
      lines.push([line.slice(0, colon), line.slice(colon + 1).trim()]);
    }
  }

  #readAhead(): void {
    while (this.#buffer.length < 65_536) {
      const chunk: unknown = this.#socket.read();
      if (!(chunk instanceof Buffer)) return;
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
    }
  }

  async #fill(): Promise<boolean> {
    while (this.#buffer.length === 0) {
      const chunk: unknown = this.#socket.read();
      if (chunk instanceof Buffer) this.#buffer = chunk;
      else if (this.#end !== 'open') return false;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return true;
  }
}

/** Header lines as a map with lower-case names; repeated ones are joined with a comma, as HTTP allows. */
export function headerMap(lines: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  const map: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of lines) {
    const key = name.toLowerCase();
    map[key] = key in map ? `${map[key]}, ${value}` : value;
  }
  return map;
}
