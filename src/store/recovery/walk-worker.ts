/**
 * Thread entry: what recovery reads. A million blobs cost many seconds of looking, and a hit must not notice: the thread
 * has a connection of its own, yields to everything else, and answers one step at a time, so nothing piles up.
 */
import { setPriority } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { RowReader, walkFiles, walkRows, type WalkStep } from './walk.ts';
import { storePaths } from '../files/paths.ts';
import { isDamage } from '../files/sqlite-errors.ts';

export interface RecoveryData {
  readonly root: string;
  /** The catalog on disk has what the owner's connection has. Otherwise only the owner knows the rows. */
  readonly isMetadataShared: boolean;
}

export type RecoveryRequest = 'files' | 'rows' | 'check';

export interface RecoveryReply {
  /** Undefined: the walk is at its end. */
  readonly step?: WalkStep | undefined;
  /** What SQLite found wrong with the catalog's file. */
  readonly damage?: string | undefined;
  readonly failure?: string | undefined;
}

const { root, isMetadataShared } = workerData as RecoveryData;
const paths = storePaths(root);
// Linux gives each thread its own; elsewhere this would slow the whole process down.
if (process.platform === 'linux') setPriority(0, 19);

const rows = new RowReader(isMetadataShared ? openOrNothing() : undefined);
const walks = { files: walkFiles(paths, rows), rows: walkRows(paths, rows) };

function perform(request: RecoveryRequest): RecoveryReply {
  try {
    if (request === 'check') return isMetadataShared ? { damage: findDamage() } : {};
    const next = walks[request].next();
    return { step: next.done === true ? undefined : next.value };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return request === 'check' && isDamage(error) ? { damage: message } : { failure: message };
  }
}

/** Reads the whole file: the one that has the name now. */
function findDamage(): string | undefined {
  const database = new DatabaseSync(paths.metadata, { timeout: 1000, readOnly: true });
  try {
    const found = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    return found === 'ok' ? undefined : String(found);
  } finally {
    database.close();
  }
}

/** Without a connection every file seems to differ, and the owner looks at it. */
function openOrNothing(): DatabaseSync | undefined {
  try {
    return new DatabaseSync(paths.metadata, { timeout: 1000, readOnly: true });
  } catch {
    return undefined; // the owner's own connection will meet the same, and deals with it
  }
}

parentPort?.on('message', (request: RecoveryRequest) => parentPort?.postMessage(perform(request)));
