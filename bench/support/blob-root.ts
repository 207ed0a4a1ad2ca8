/** A cache root of very many tiny blobs, as weir would have left it: files, rows and the mark of an orderly stop. */
import { createHash } from 'node:crypto';
import { lstatSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { parseDigest } from '../../src/oci/digest.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { formatStamp, stampOf } from '../../src/store/contract/file-stamp.ts';
import { blobPath, type StorePaths, storePaths } from '../../src/store/files/paths.ts';
import { openRoot, writeCleanMarker } from '../../src/store/root/root.ts';
import { markComplete, migrate } from '../../src/store/sqlite/schema.ts';

/** What a file of a few bytes takes on disk; eviction reckons with it. */
const allocatedBytes = 4096;

export class BlobRoot {
  readonly #paths: StorePaths;
  #count = 0;

  private constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  static async create(root: string): Promise<BlobRoot> {
    const paths = storePaths(root);
    const { lock } = await openRoot(paths, silentLogger);
    lock.release();
    const database = new DatabaseSync(paths.metadata);
    database.exec('PRAGMA journal_mode = WAL');
    migrate(database);
    markComplete(database);
    database.close();
    return new BlobRoot(paths);
  }

  /** Adds blobs until there are so many. */
  growTo(count: number): void {
    const database = new DatabaseSync(this.#paths.metadata);
    const insert = database.prepare(
      'INSERT INTO blobs (digest, size_bytes, allocated_bytes, last_used_ms, file_stamp) VALUES (?, ?, ?, ?, ?)',
    );
    const nowMs = Date.now();
    database.exec('BEGIN');
    for (; this.#count < count; this.#count++) {
      const content = `blob ${this.#count}`;
      const digest = parseDigest(`sha256:${createHash('sha256').update(content).digest('hex')}`);
      if (digest === undefined) throw new Error('a digest that is none');
      const path = blobPath(this.#paths, digest);
      writeFileSync(path, content, { mode: 0o444 });
      const stamp = formatStamp(stampOf(lstatSync(path, { bigint: true })));
      insert.run(digest, content.length, allocatedBytes, nowMs - count + this.#count, stamp);
    }
    database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
    database.close();
  }

  /** As if the last daemon had stopped in order just now. */
  async markClean(): Promise<void> {
    await writeCleanMarker(this.#paths, { stoppedAtMs: Date.now() });
  }

  /** As if it had been killed. */
  markUnclean(): void {
    rmSync(this.#paths.clean, { force: true });
  }
}
