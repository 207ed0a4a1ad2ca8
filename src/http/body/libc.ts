/**
 * The calls of the system that bodies without copying need. koffi is optional: where it cannot be loaded, or the
 * system is not a 64-bit Linux, bodies pass through buffers.
 */
import type { default as Koffi } from 'koffi';

/** Why a call failed: the name of its errno, e.g. `EAGAIN`. */
export class SystemCallError extends Error {
  readonly kind = 'systemCall';
  readonly code: string;

  constructor(call: string, code: string) {
    super(`${call}: ${code}`);
    this.name = 'SystemCallError';
    this.code = code;
  }
}

/** Descriptors are the process's own: a number that was closed may be anybody's a moment later. */
export interface Libc {
  /**
   * Moves at most `length` bytes of `file` from `position` into `socket`, on a thread of libuv's pool. Resolves how many
   * went, 0 at the end of the file. Rejects with SystemCallError; then none went. Neither descriptor may be closed before
   * that.
   */
  sendfile(socket: number, file: number, position: number, length: number): Promise<number>;
  /** The same on this thread. Throws SystemCallError. */
  sendfileNow(socket: number, file: number, position: number, length: number): number;
  /** All of these bytes are in memory, so that sending them waits for no disk. False also where the kernel cannot tell. */
  isCached(file: number, position: number, length: number): boolean;
  /** Another descriptor of the same socket, closed in child processes. Throws SystemCallError. */
  duplicate(fd: number): number;
  /** Ends both directions of a socket, for every descriptor of it. A socket that has ended already is no error. */
  shutdown(fd: number): void;
  close(fd: number): void;
}

/** For tests: what stands for `import('koffi')`. */
export type LoadKoffi = () => Promise<{ readonly default: typeof Koffi }>;

/** fcntl's F_DUPFD_CLOEXEC and shutdown's SHUT_RDWR, on every architecture of Linux. */
const duplicateClosedOnExec = 1030;
const bothDirections = 2;
/** Has a number and no name yet in most C libraries. Linux 6.5. */
const cachestatNumber = 451;
/** The smallest there are. Larger ones only make `isCached` say no. */
const pageBytes = 4096;

/** Undefined where the system has no such calls. Rejects when it should have them and they cannot be loaded. */
export async function loadLibc(load: LoadKoffi = () => import('koffi')): Promise<Libc | undefined> {
  if (process.platform !== 'linux') return undefined;
  const { default: koffi } = await load();
  // off_t has 64 bits without further ado only here.
  if (koffi.sizeof('long') !== 8) return undefined;
  // Those of this process, whatever its C library is called.
  const library = koffi.load(null);
  const sendfile = library.func('long sendfile(int socket, int file, int64_t *offset, size_t count)') as KoffiSendfile;
  const cachestat = library.func(
    'long syscall(long number, int file, void *range, void *stat, unsigned int flags)',
  ) as (number: number, file: number, range: BigUint64Array, stat: BigUint64Array, flags: number) => number;
  const range = new BigUint64Array(2);
  const stat = new BigUint64Array(5);
  const fcntl = library.func('int fcntl(int descriptor, int command, ...)') as (...values: unknown[]) => number;
  const shutdown = library.func('int shutdown(int socket, int how)') as (socket: number, how: number) => number;
  const close = library.func('int close(int descriptor)') as (fd: number) => number;
  // Of several names the first in the alphabet: EAGAIN, not EWOULDBLOCK.
  const errors = Object.entries(koffi.os.errno).toSorted(([a], [b]) => (a < b ? 1 : -1));
  const names = new Map(errors.map(([name, number]) => [number, name]));
  const failure = (call: string): SystemCallError => {
    const number = koffi.errno();
    return new SystemCallError(call, names.get(number) ?? `errno ${number}`);
  };
  return {
    sendfile: (socket, file, position, length) =>
      new Promise((resolve, reject) => {
        // Not a typed array: the call would write into memory of a heap that may have moved on (seen: it aborts).
        sendfile.async(socket, file, [position], length, (error, sent) => {
          if (error !== null) reject(error);
          else if (sent < 0) reject(failure('sendfile'));
          else resolve(sent);
        });
      }),
    sendfileNow(socket, file, position, length) {
      const sent = sendfile(socket, file, [position], length);
      if (sent < 0) throw failure('sendfile');
      return sent;
    },
    isCached(file, position, length) {
      range[0] = BigInt(position);
      range[1] = BigInt(length);
      const pages = Math.ceil((position + length) / pageBytes) - Math.floor(position / pageBytes);
      return cachestat(cachestatNumber, file, range, stat, 0) === 0 && Number(stat[0]) >= pages;
    },
    duplicate(fd) {
      const duplicate = fcntl(fd, duplicateClosedOnExec, 'int', 0);
      if (duplicate < 0) throw failure('fcntl');
      return duplicate;
    },
    shutdown: (fd) => void shutdown(fd, bothDirections),
    close: (fd) => void close(fd),
  };
}

interface KoffiSendfile {
  (socket: number, file: number, offset: readonly [number], length: number): number;
  async(
    socket: number,
    file: number,
    offset: readonly [number],
    length: number,
    callback: (error: Error | null, sent: number) => void,
  ): void;
}
