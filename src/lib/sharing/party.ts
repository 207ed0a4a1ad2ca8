/** On whose behalf something is done: who waits for it, and with which priority it waits for others. Both change on the way. */

/** All of `normal`, for which a client waits, are served before the first of `low`. */
export type Priority = 'normal' | 'low';

export class Party {
  #priority: Priority;
  /** Those that are here, and how often. */
  readonly #clients = new Map<string, number>();
  #last: string;
  readonly #listeners = new Set<() => void>();

  /** `client` stands for those who are not counted, as long as none is. */
  constructor(priority: Priority, client = '') {
    this.#priority = priority;
    this.#last = client;
  }

  get priority(): Priority {
    return this.#priority;
  }

  /** At least one: those that are here, else the one that left last. */
  get clients(): Iterable<string> {
    return this.#clients.size > 0 ? this.#clients.keys() : [this.#last];
  }

  /** Whom it is put down to when nobody is here. */
  get lastClient(): string {
    return this.#last;
  }

  moveTo(priority: Priority): void {
    if (priority === this.#priority) return;
    this.#priority = priority;
    this.#changed();
  }

  /** Counts a client until the returned function is called (once or more often). */
  join(client: string): () => void {
    const count = this.#clients.get(client) ?? 0;
    this.#clients.set(client, count + 1);
    this.#last = client;
    if (count === 0) this.#changed();
    let isHere = true;
    return () => {
      if (!isHere) return;
      isHere = false;
      this.#leave(client);
    };
  }

  /** Calls `listener` after each change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #leave(client: string): void {
    const left = (this.#clients.get(client) ?? 1) - 1;
    this.#last = client;
    if (left > 0) return void this.#clients.set(client, left);
    this.#clients.delete(client);
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
