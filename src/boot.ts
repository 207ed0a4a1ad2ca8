/** What main does on a Node that can run the rest. */
import { setFlagsFromString } from 'node:v8';
import { startDaemon, version } from './daemon/daemon.ts';
import { createUpstreamProbes } from './daemon/upstreams.ts';
import { thisMachine } from './cli/frame/machine.ts';
import { run } from './cli/main.ts';
import { processIo } from './cli/frame/output.ts';

/** Runs the command line of this process and ends it. */
export async function boot(): Promise<void> {
  // Bodies pass as buffers outside the heap, whose garbage is freed only when the young generation is collected: grown to
  // its default 64 MiB it holds a hundred megabytes of dead buffers. From here on it stays as large as it is.
  setFlagsFromString('--semi-space-growth-factor=1');
  const code = await run(process.argv.slice(2), processIo(), {
    version: version(),
    startDaemon: (config) => startDaemon(config),
    createProbes: (config) => createUpstreamProbes(config, thisMachine.clock),
    machine: thisMachine,
  });
  // Not left to an empty event loop: a second signal means that what still runs shall not be waited for.
  process.exit(code);
}
