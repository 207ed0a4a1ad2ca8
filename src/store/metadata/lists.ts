/** The lists that weir keeps as text: pages of tags/list, referrers. */
import type { MetadataDatabase } from '../sqlite/database.ts';
import type { ListingRecord } from '../contract/metadata.ts';
import { integerOf, textOf } from '../sqlite/columns.ts';

/** Clients choose part of a list's key, so the table needs a bound; the least recently checked go first. */
const mostLists = 8192;
const putsBetweenTrims = 256;

export class ListRows {
  readonly #database: MetadataDatabase;
  #puts = 0;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  get(key: string): ListingRecord | undefined {
    const row = this.#database.get('SELECT body, checked_at_ms FROM listings WHERE key = ?', key) ?? {};
    const body = textOf(row, 'body');
    const checkedAtMs = integerOf(row, 'checked_at_ms');
    return body === undefined || checkedAtMs === undefined ? undefined : { body, checkedAtMs };
  }

  put(key: string, { body, checkedAtMs }: ListingRecord): void {
    this.#database.run(
      `INSERT INTO listings (key, body, checked_at_ms) VALUES (?1, ?2, ?3)
       ON CONFLICT (key) DO UPDATE SET body = ?2, checked_at_ms = ?3`,
      key,
      body,
      Math.trunc(checkedAtMs),
    );
    if (++this.#puts % putsBetweenTrims !== 0) return;
    this.#database.run(
      `DELETE FROM listings WHERE rowid IN
       (SELECT rowid FROM listings ORDER BY checked_at_ms DESC LIMIT -1 OFFSET ?)`,
      mostLists,
    );
  }

  forget(key: string): void {
    this.#database.run('DELETE FROM listings WHERE key = ?', key);
  }
}
