/** What main does on a Node that can run the rest. */
import { startDaemon, version } from './app.ts';
import { run } from './cli/main.ts';
import { processIo } from './cli/output.ts';

/** Runs the command line of this process and ends it. */
export async function boot(): Promise<void> {
  const code = await run(process.argv.slice(2), processIo(), {
    version: version(),
    startDaemon: (config) => startDaemon(config),
  });
  // Not left to an empty event loop: a second signal means that what still runs shall not be waited for.
  process.exit(code);
}
