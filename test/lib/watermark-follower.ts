/** A thread that follows a watermark and reports each position that it sees, until the state is final. */
import { parentPort, workerData } from 'node:worker_threads';
import { Watermark } from '../../src/lib/watermark.ts';

const watermark = new Watermark(workerData as SharedArrayBuffer);
// What is reported is what is followed: the parent moves on as soon as it hears of it.
let seen = watermark.position;
parentPort?.postMessage({ position: seen, state: watermark.state });
// Atomics.waitAsync alone does not keep a thread alive.
const alive = setInterval(() => undefined, 1000);
while (watermark.state === 'open') {
  await watermark.past(seen);
  seen = watermark.position;
  parentPort?.postMessage({ position: seen, state: watermark.state });
}
clearInterval(alive);
