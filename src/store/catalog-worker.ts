/**
 * Thread entry: the catalog's slow work, on a connection of its own, so that no request waits for an fsync or for a walk
 * through the whole file.
 */
import { DatabaseSync } from 'node:sqlite';
import { parentPort } from 'node:worker_threads';
import { isDamage } from './sqlite-errors.ts';

export type CatalogJob = 'checkpoint' | 'check';

export interface CatalogRequest {
  readonly id: number;
  readonly job: CatalogJob;
  readonly path: string;
}

/** `damage` is what SQLite found wrong with the file; `failure` says that the job could not be done. */
export interface CatalogReply {
  readonly id: number;
  readonly damage?: string;
  readonly failure?: string;
}

function perform({ id, job, path }: CatalogRequest): CatalogReply {
  // The path may stand for another file each time, so no connection outlives its job.
  try {
    const database = new DatabaseSync(path, { timeout: 1000, readOnly: job === 'check' });
    try {
      if (job === 'checkpoint') {
        // PASSIVE never makes the owner wait.
        database.exec('PRAGMA wal_checkpoint(PASSIVE)');
        return { id };
      }
      const found = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
      return found === 'ok' ? { id } : { id, damage: String(found) };
    } finally {
      database.close();
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return job === 'check' && isDamage(error) ? { id, damage: message } : { id, failure: message };
  }
}

parentPort?.on('message', (request: CatalogRequest) => parentPort?.postMessage(perform(request)));
