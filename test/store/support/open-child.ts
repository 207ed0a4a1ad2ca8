/** Opens a cache root, says how that went, and holds it until it is killed or told SIGTERM. */
import { once } from 'node:events';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { StoreError } from '../../../src/store/contract/blob-store.ts';
import { openStore } from '../../../src/store/open.ts';
import { say } from './child.ts';

const [root = ''] = process.argv.slice(2);
try {
  const opened = await openStore({ root, partialTtlMs: 86_400_000, clock: systemClock, logger: silentLogger });
  await opened.recovered;
  const told = once(process, 'SIGTERM');
  // A signal handler alone does not keep the process alive.
  const alive = setInterval(() => undefined, 1000);
  say('open', { wasClean: opened.wasClean });
  await told;
  clearInterval(alive);
  await opened.close();
  say('closed');
} catch (error) {
  if (!(error instanceof StoreError)) throw error;
  say('refused', { kind: error.kind, message: error.message });
}
