/** How much each of several has. */
export class Uses {
  readonly #counts = new Map<string, number>();

  /** Those that have something. */
  get clients(): Iterable<string> {
    return this.#counts.keys();
  }

  of(client: string): number {
    return this.#counts.get(client) ?? 0;
  }

  add(client: string, count: number): void {
    const sum = this.of(client) + count;
    if (sum > 0) this.#counts.set(client, sum);
    else this.#counts.delete(client);
  }

  /** Who of `clients` has the least; among equals the one with the lowest `turn`, then the first. Empty for none. */
  least(clients: Iterable<string>, turn: (client: string) => number = () => 0): string {
    let least: { readonly client: string; readonly rank: readonly [number, number] } | undefined;
    for (const client of clients) {
      const rank = [this.of(client), turn(client)] as const;
      if (least === undefined || leastOf(rank, least.rank)) least = { client, rank };
    }
    return least?.client ?? '';
  }
}

/** When each of several had its last turn; 0 for who had none. */
export class Turns {
  readonly #last = new Map<string, number>();
  #count = 0;

  get size(): number {
    return this.#last.size;
  }

  readonly of = (client: string): number => this.#last.get(client) ?? 0;

  take(client: string): void {
    this.#last.set(client, ++this.#count);
  }

  /** Forgets all others. */
  keep(clients: ReadonlySet<string>): void {
    for (const client of this.#last.keys()) if (!clients.has(client)) this.#last.delete(client);
  }
}

/** Whether `one` comes before `other`, number by number. */
export function leastOf(one: readonly number[], other: readonly number[]): boolean {
  for (const [index, number] of one.entries()) {
    const than = other[index] ?? 0;
    if (number !== than) return number < than;
  }
  return false;
}
