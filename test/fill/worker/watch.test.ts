/** A download worker that does not answer any more. It hangs as on a dead disk: in a call to open that does not return. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DownloadWorkers } from '../../../src/fill/worker/pool.ts';
import { workerPatienceMs, type DownloadWorker } from '../../../src/fill/worker/thread.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-watch-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Resolves when the thread has answered all that it was told before. */
async function catchesUp(thread: DownloadWorker, path: string): Promise<void> {
  const answered = Promise.withResolvers<string>();
  const file = thread.file({ path, algorithm: 'sha256', isLive: true }, ({ kind }) => answered.resolve(kind));
  file.tell({ kind: 'digest' });
  expect(await answered.promise).toBe('digest');
  file.tell({ kind: 'forget' });
}

it('is given nothing new, and what it has is lost when it has ended, not before', async () => {
  const clock = new FakeClock();
  const pool = new DownloadWorkers(silentLogger, 1, clock);
  const [file, fifo] = [join(directory, 'file'), join(directory, 'fifo')];
  writeFileSync(file, '');
  execFileSync('mkfifo', [fifo]);
  const thread = pool.pick()?.thread;
  if (thread === undefined) throw new Error('there is no thread');

  for (let pings = 0; pings < 3; pings++) {
    await clock.advance(workerPatienceMs);
    await catchesUp(thread, file);
  }
  expect([thread.isUsable, pool.pick()?.thread === thread]).toEqual([true, true]);

  const said: string[] = [];
  const busyMs = thread.busyMs();
  thread.file({ path: fifo, algorithm: 'sha256', isLive: true }, ({ kind }) => said.push(kind));
  // It has nothing else to do: it is in that call.
  await eventually(() => thread.busyMs() > busyMs + 100);
  await clock.advance(2 * workerPatienceMs);
  expect([thread.isUsable, thread.isDead, said]).toEqual([false, false, []]);
  const next = pool.pick()?.thread;
  if (next === undefined || next === thread) throw new Error('nobody takes its place');
  await catchesUp(next, file);

  // Somebody at the other end lets the call return.
  const other = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  await eventually(() => thread.isDead);
  expect(said).toEqual(['lost']);
  closeSync(other);
  await pool.close();
});
