/** A thread that has duplicated a socket's descriptor when it is ended. */
import { parentPort, workerData } from 'node:worker_threads';
import { FdTable } from '../../../src/http/body/duplicated-sockets.ts';
import { loadLibc } from '../../../src/http/body/libc.ts';

const { memory, fd } = workerData as { readonly memory: SharedArrayBuffer; readonly fd: number };
const libc = await loadLibc();
if (libc === undefined) throw new Error('no C library');
new FdTable(memory).enter(libc.duplicate(fd));
parentPort?.postMessage('duplicated');
// Stays until it is ended.
parentPort?.on('message', () => undefined);
