/** Upstreams that give so many bytes a second, on a clock that the test turns. */
import { patienceMs } from '../../support/gate.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import type { BlobUpstream, Script } from './blob-upstream.ts';

export const chunkBytes = 256 * 1024;

/** Each connection brings `bytesPerSecond`; `more` adds to the script of a request. */
export function limitEach(
  upstream: BlobUpstream,
  clock: FakeClock,
  bytesPerSecond: number,
  more: BlobUpstream['script'] = () => ({}),
): void {
  const ms = (chunkBytes / bytesPerSecond) * 1000;
  upstream.script = (request, index): Script => ({ beforeChunk: () => clock.sleep(ms), ...more(request, index) });
}

/** All connections together bring `bytesPerSecond`. */
export function limitAll(upstream: BlobUpstream, clock: FakeClock, bytesPerSecond: number): void {
  const ms = (chunkBytes / bytesPerSecond) * 1000;
  let freeAtMs = 0;
  const beforeChunk = (): Promise<void> => {
    freeAtMs = Math.max(freeAtMs, clock.monotonic()) + ms;
    return clock.sleep(freeAtMs - clock.monotonic());
  };
  upstream.script = () => ({ beforeChunk });
}

/** Lets time pass until the work has ended, and says how much did, in seconds. Calls `onStep` every 10 ms. */
export async function play<T>(
  clock: FakeClock,
  work: Promise<T>,
  onStep: (elapsedMs: number) => void = () => undefined,
): Promise<{ value: T; seconds: number }> {
  const startMs = clock.monotonic();
  const giveUpAt = Date.now() + patienceMs;
  let isOver = false;
  const end = (): void => void (isOver = true);
  work.then(end, end);
  while (!isOver) {
    if (Date.now() > giveUpAt) throw new Error(`not over after ${clock.monotonic() - startMs} ms of its own time`);
    await clock.advance(10);
    onStep(clock.monotonic() - startMs);
  }
  return { value: await work, seconds: (clock.monotonic() - startMs) / 1000 };
}
