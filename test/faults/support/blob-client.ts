/**
 * A client that downloads one body over a bare socket and reports what it got. It reads into one buffer, so that a hundred
 * of them fit beside the daemon on a small machine; it hashes only when it is told to.
 */
import { type Hash, createHash } from 'node:crypto';
import { type Socket, connect } from 'node:net';

export interface Download {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: number;
  /** The body was complete according to its own head. */
  readonly isComplete: boolean;
  readonly firstByteMs: number;
  readonly totalMs: number;
  /** `sha256:…` of the body, when hashing. */
  readonly digest: string | undefined;
}

export interface DownloadOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly hashes?: boolean;
  /** Destroys the connection once this many body bytes have come, or by `leave`. */
  readonly leaveAfter?: number;
  readonly leave?: AbortSignal;
  /** Reads nothing after the head. Ends by `leave`. */
  readonly stalls?: boolean;
  /** Pauses for 100 ms after every MiB. */
  readonly slow?: boolean;
  readonly timeoutMs?: number;
  /** Where the client comes from. */
  readonly localAddress?: string;
}

const headEnd = Buffer.from('\r\n\r\n');

/** Resolves when the connection is over or the body is complete; never rejects once connected. */
export function download(port: number, path: string, options: DownloadOptions = {}): Promise<Download> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const hash: Hash | undefined = options.hashes === true ? createHash('sha256') : undefined;
    let head: Buffer | undefined = Buffer.alloc(0);
    let status = 0;
    let headers: Record<string, string> = {};
    let expected = Infinity;
    let bytes = 0;
    let pausedAt = 0;
    let firstByteMs = NaN;
    let isOver = false;
    const finish = (): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      options.leave?.removeEventListener('abort', finish);
      socket.destroy();
      resolve({
        status,
        headers,
        bytes,
        isComplete: bytes === expected,
        firstByteMs,
        totalMs: performance.now() - began,
        digest: hash === undefined ? undefined : `sha256:${hash.digest('hex')}`,
      });
    };
    const onBody = (chunk: Uint8Array): void => {
      if (chunk.byteLength === 0) return;
      if (bytes === 0) firstByteMs = performance.now() - began;
      bytes += chunk.byteLength;
      hash?.update(chunk);
    };
    const onData = (count: number, buffer: Uint8Array): boolean => {
      const chunk = buffer.subarray(0, count);
      if (head === undefined) onBody(chunk);
      else {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(headEnd);
        if (end === -1) return true;
        const [first = '', ...lines] = head.subarray(0, end).toString('latin1').split('\r\n');
        status = Number(first.split(' ')[1]);
        headers = Object.fromEntries(
          lines.map((line) => [
            line.slice(0, line.indexOf(':')).toLowerCase(),
            line.slice(line.indexOf(':') + 1).trim(),
          ]),
        );
        const length = headers['content-length'];
        const hasBody = options.method !== 'HEAD' && status !== 304;
        expected = hasBody ? (length === undefined ? Infinity : Number(length)) : 0;
        const rest = head.subarray(end + 4);
        head = undefined;
        onBody(rest);
        if (options.stalls === true) return false;
      }
      if (options.slow === true && bytes - pausedAt >= 1024 * 1024 && bytes < expected) {
        pausedAt = bytes;
        setTimeout(() => socket.resume(), 100);
        return false;
      }
      if (bytes >= expected || bytes >= (options.leaveAfter ?? Infinity)) finish();
      return true;
    };
    const socket: Socket = connect({
      port,
      host: '127.0.0.1',
      localAddress: options.localAddress ?? '127.0.0.1',
      onread: { buffer: Buffer.alloc(128 * 1024), callback: onData },
    });
    const timer = setTimeout(finish, options.timeoutMs ?? 120_000);
    options.leave?.addEventListener('abort', finish, { once: true });
    socket.on('error', (error) =>
      status === 0 && isNaN(firstByteMs) && bytes === 0 && !isOver ? failed(error) : finish(),
    );
    socket.on('close', finish);
    const failed = (error: Error): void => {
      isOver = true;
      clearTimeout(timer);
      reject(error);
    };
    const lines = Object.entries({ Host: `127.0.0.1:${port}`, Connection: 'close', ...options.headers });
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    socket.write(`${options.method ?? 'GET'} ${path} HTTP/1.1\r\n${text}\r\n`);
  });
}
