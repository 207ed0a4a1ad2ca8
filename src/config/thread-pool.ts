/** The size of libuv's thread pool, which file I/O, DNS and zlib share: a few slow disk reads must not stop them all. */

const threads = 16;

/** Before the first asynchronous use of the pool, or it has no effect. What the environment says already stays. */
export function sizeThreadPool(): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(threads);
}

/** Threads that the pool has once it is in use, as libuv understands the environment. */
export function threadPoolSize(): number {
  const text = process.env['UV_THREADPOOL_SIZE'];
  if (text === undefined) return 4;
  const size = Number.parseInt(text, 10);
  return size > 0 ? Math.min(size, 1024) : 1;
}
