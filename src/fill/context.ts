/** What every fill of a cache shares. */
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Semaphore } from '../lib/semaphore.ts';
import type { Shares } from '../lib/sharing/shares.ts';
import type { BlobStore } from '../store/contract/blob-store.ts';
import type { Metadata } from '../store/metadata/metadata.ts';
import type { CacheEvents } from './contract/events.ts';
import type { FillConnections } from './schedule/connections.ts';
import type { Keeping } from './contract/keeping.ts';
import type { DownloadWorkers } from './worker/pool.ts';
import type { Linker } from './contract/linker.ts';
import type { Space } from './space/space.ts';

export interface FillContext {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  /** Told of what upstreams gave, once it is proved. */
  readonly rights: Linker;
  readonly space: Space;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: CacheEvents;
  readonly connections: FillConnections;
  readonly keeping: Keeping;
  /** Leave to prove what is here already: it has a file, and needs no transfer. */
  readonly proofs: Shares;
  /** Turns for hashing what must be read back. */
  readonly hashTurns: Semaphore;
  /** Threads that move and hash; undefined: all is done on this one. */
  readonly workers?: DownloadWorkers;
  /** What happens to a fill that nobody waits for any more. */
  readonly onAbandon: 'finish' | 'keep';
}
