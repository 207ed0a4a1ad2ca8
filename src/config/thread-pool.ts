/** The size of libuv's thread pool, which file I/O, DNS and zlib share: a few slow disk reads must not stop them all. */

const threads = 16;

/** Before the first asynchronous use of the pool, or it has no effect. What the environment says already stays. */
export function sizeThreadPool(): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(threads);
}

/** Threads that the pool has, once it is in use. */
export function threadPoolSize(): number {
  const size = Number(process.env['UV_THREADPOOL_SIZE']);
  // What libuv makes of it: 4 without a word, and between 1 and 1024.
  return Number.isSafeInteger(size) && size > 0 ? Math.min(size, 1024) : 4;
}
