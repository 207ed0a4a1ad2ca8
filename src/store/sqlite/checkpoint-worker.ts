/** Thread entry: checkpoints of the catalog, on a connection of its own, so that no request waits for an fsync. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort } from 'node:worker_threads';

export interface CheckpointReply {
  readonly failure?: string;
}

function checkpoint(path: string): CheckpointReply {
  try {
    // The path may stand for another file each time, so no connection outlives its job.
    const database = new DatabaseSync(path, { timeout: 1000 });
    try {
      // PASSIVE never makes the owner wait.
      database.exec('PRAGMA wal_checkpoint(PASSIVE)');
      return {};
    } finally {
      database.close();
    }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (path: string) => parentPort?.postMessage(checkpoint(path)));
