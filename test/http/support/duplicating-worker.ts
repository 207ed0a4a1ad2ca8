/** A thread that has duplicated a socket's descriptor when it is ended. */
import { parentPort, workerData } from 'node:worker_threads';
import { DescriptorTable } from '../../../src/http/body/duplicated-sockets.ts';
import { loadLibc } from '../../../src/http/body/libc.ts';

const { memory, descriptor } = workerData as { readonly memory: SharedArrayBuffer; readonly descriptor: number };
const libc = await loadLibc();
if (libc === undefined) throw new Error('no C library');
new DescriptorTable(memory).enter(libc.duplicate(descriptor));
parentPort?.postMessage('duplicated');
// Stays until it is ended.
parentPort?.on('message', () => undefined);
