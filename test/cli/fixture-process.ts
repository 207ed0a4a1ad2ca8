/** A process with the real signals, streams and environment, and a daemon that does nothing. */
import { thisMachine } from '../../src/cli/frame/machine.ts';
import { run } from '../../src/cli/main.ts';
import { processIo } from '../../src/cli/frame/output.ts';

const stopped = Promise.withResolvers<void>();
// Like an open listener, it keeps the process alive.
const alive = setInterval(() => undefined, 60_000);

const code = await run(process.argv.slice(2), processIo(), {
  version: '1.2.3',
  createProbes: () => Promise.resolve(new Map()),
  machine: thisMachine,
  startDaemon: () => {
    process.stderr.write('started\n');
    return Promise.resolve({
      addresses: { registry: { host: '127.0.0.1', port: 1 }, admin: { host: '127.0.0.1', port: 2 } },
      stopped: stopped.promise,
      stop() {
        process.stderr.write('stopping\n');
        stopped.resolve();
        return stopped.promise;
      },
    });
  },
});
clearInterval(alive);
// A broken pipe is reported a turn later; a command that goes on after it has printed would meet it.
await new Promise((resolve) => setImmediate(resolve));
process.exit(code);
