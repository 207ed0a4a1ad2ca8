/** A thread that follows a watermark and reports each position that it sees, until it has reported a final state. */
import { parentPort, workerData } from 'node:worker_threads';
import { Watermark } from '../../src/lib/watermark.ts';

const watermark = new Watermark(workerData as SharedArrayBuffer);
/** What is reported is what is followed: the parent moves on as soon as it hears of it. */
const report = (): { readonly position: number; readonly state: string } => {
  const seen = { position: watermark.position, state: watermark.state };
  parentPort?.postMessage(seen);
  return seen;
};
// Atomics.waitAsync alone does not keep a thread alive.
const alive = setInterval(() => undefined, 1000);
let last = report();
while (last.state === 'open') {
  await watermark.past(last.position);
  last = report();
}
clearInterval(alive);
