/**
 * A number of slots, shared out among clients so that none is idle while somebody wants one:
 *
 * - A free slot goes to the client that holds the fewest; among equals to the one whose last turn is longest ago.
 * - When none is free, one is taken back: from what nobody waits for (`low`), else from whoever holds more than an equal
 *   share, as long as that leaves him no less than the one who gets it. A holder is asked, and gives it back by itself.
 * - One eighth, at least one, is never given to a client that has more than the share it would have if one more came:
 *   what cannot be taken back must not be able to lie on everything.
 *
 * What is done for several clients counts as the one's who holds the fewest at that moment.
 */
import { abortReason } from '../abort.ts';
import { Party } from './party.ts';
import { CrowdedError, type SlotTerms } from './slot.ts';
import { leastOf, Turns, Uses } from './uses.ts';

interface Waiter extends SlotTerms {
  readonly grant: () => void;
  readonly refuse: (error: Error) => void;
}

interface Holder extends SlotTerms {
  /** The client that it counts as. */
  account: string;
  isAsked: boolean;
}

const anybody = new Party('normal');

export class Shares {
  readonly limit: number;
  readonly #mostWaiting: number;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>();
  /** The latest last: it loses the least. */
  readonly #holders = new Set<Holder>();
  readonly #turns = new Turns();
  /** Not for a client that has more than a share. */
  readonly #reserved: number;

  /** `limit` slots, at least 1. */
  constructor(limit: number, mostWaiting = Infinity) {
    if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`shares need a limit of 1 or more: ${limit}`);
    this.limit = limit;
    this.#reserved = Math.max(1, Math.floor(limit / 8));
    this.#mostWaiting = mostWaiting;
  }

  get active(): number {
    return this.#holders.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Somebody waits for whom a client waits. */
  get isContended(): boolean {
    return this.#some('normal');
  }

  /**
   * Resolves a slot; disposing it (once or more often) gives it back. Rejects with the signal's reason if that aborts while
   * waiting, or with CrowdedError; afterwards the slot belongs to the caller whatever the signal does.
   */
  acquire(terms: SlotTerms, signal?: AbortSignal): Promise<Disposable> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
        stopFollowing();
      };
      const refuse = (error: Error): void => {
        leave();
        reject(error);
      };
      const grant = (): void => {
        leave();
        resolve(this.#give(terms));
      };
      const waiter: Waiter = { ...terms, grant, refuse };
      const onAbort = (): void => {
        if (signal !== undefined) refuse(abortReason(signal));
      };
      const stopFollowing = terms.party.onChange(() => this.#balance());
      this.#waiting.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#balance();
      if (this.#waiting.size > this.#mostWaiting) this.#thin();
    });
  }

  /** A slot if one is free that nobody waits for. */
  tryAcquire(terms: SlotTerms): Disposable | undefined {
    if (this.#waiting.size > 0) return undefined;
    const uses = this.#uses();
    const client = uses.least(terms.party.clients);
    const clients = clientsOf(uses, new Map([[client, 1]]));
    const isFree = this.#mayHave(this.limit - this.#holders.size, uses.of(client), clients, terms.party);
    return isFree ? this.#give(terms) : undefined;
  }

  #give(terms: SlotTerms): Disposable {
    const account = this.#uses().least(terms.party.clients, this.#turns.of);
    const holder: Holder = { ...terms, account, isAsked: false };
    this.#turns.take(account);
    this.#holders.add(holder);
    const stopFollowing = terms.party.onChange(() => this.#follow(holder));
    return {
      [Symbol.dispose]: () => {
        if (!this.#holders.delete(holder)) return;
        stopFollowing();
        this.#balance();
      },
    };
  }

  /** Its clients, or its priority, have changed. */
  #follow(holder: Holder): void {
    const uses = this.#uses();
    if (holder.party.priority === 'normal') uses.add(holder.account, -1);
    holder.account = uses.least(holder.party.clients);
    this.#balance();
  }

  /** Gives what is free, and asks for what should be. */
  #balance(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) next.grant();
    this.#takeBack();
    if (this.#turns.size > 2 * (this.limit + this.#waiting.size)) this.#turns.keep(this.#about());
  }

  /** Whose turn it is, if there is a slot for it. */
  #next(): Waiter | undefined {
    if (this.#holders.size >= this.limit || this.#waiting.size === 0) return undefined;
    const priority = this.#some('normal') ? 'normal' : 'low';
    const uses = this.#uses(priority);
    let best:
      | { readonly waiter: Waiter; readonly rank: readonly [number, number, number]; readonly client: string }
      | undefined;
    for (const waiter of this.#waiting) {
      if (waiter.party.priority !== priority) continue;
      const client = uses.least(waiter.party.clients, this.#turns.of);
      const rank = [uses.of(client), this.#turns.of(client), waiter.isContinued === true ? 0 : 1] as const;
      if (best === undefined || leastOf(rank, best.rank)) best = { waiter, rank, client };
    }
    if (best === undefined) return undefined;
    const normal = this.#uses();
    const clients = clientsOf(normal, this.#wanting(normal));
    const free = this.limit - this.#holders.size;
    return this.#mayHave(free, best.rank[0], clients, best.waiter.party) ? best.waiter : undefined;
  }

  /** Whether one of `free` slots is for somebody who holds `use`, as one of `clients` that hold or want some. */
  #mayHave(free: number, use: number, clients: number, { priority }: Party): boolean {
    // What nobody waits for is given back at once.
    return free > 0 && (free > this.#reserved || priority === 'low' || use <= this.limit / (clients + 1));
  }

  #takeBack(): void {
    if (!this.#some('normal')) return;
    const uses = this.#uses();
    const wanting = this.#wanting(uses);
    const clients = clientsOf(uses, wanting);
    const share = Math.max((this.limit - this.#reserved) / clients, this.limit / (clients + 1));
    const asked: Holder[] = [];
    // With what comes from those that were asked before.
    let free = this.limit - [...this.#holders].filter(({ isAsked }) => !isAsked).length;
    for (let client = uses.least(wanting.keys()); wanting.has(client); client = uses.least(wanting.keys())) {
      if (!this.#mayHave(free, uses.of(client), clients, anybody)) {
        const holder = this.#victim(uses, share, uses.of(client));
        if (holder === undefined) break;
        if (holder.party.priority === 'normal') uses.add(holder.account, -1);
        holder.isAsked = true;
        asked.push(holder);
        free += 1;
        continue;
      }
      free -= 1;
      uses.add(client, 1);
      const left = (wanting.get(client) ?? 0) - 1;
      if (left > 0) wanting.set(client, left);
      else wanting.delete(client);
    }
    // Last, because some give it back at once, and what was counted above is counted anew then.
    for (const holder of asked) holder.onWanted?.();
  }

  /** Who gives a slot back to one that holds `least`. */
  #victim(uses: Uses, share: number, least: number): Holder | undefined {
    const askable = [...this.#holders]
      .filter(({ isAsked, onWanted }) => !isAsked && onWanted !== undefined)
      .toReversed();
    const low = askable.find(({ party }) => party.priority === 'low');
    if (low !== undefined) return low;
    let victim: Holder | undefined;
    for (const holder of askable) {
      const use = uses.of(holder.account);
      const isMore = use > share && use - 1 > least && (victim === undefined || use > uses.of(victim.account));
      if (isMore && holder.mayBeTaken?.() !== false) victim = holder;
    }
    return victim;
  }

  /** How many slots each client has for what is of `priority`; what was asked back counts no more. */
  #uses(priority: Party['priority'] = 'normal'): Uses {
    const uses = new Uses();
    for (const { party, account, isAsked } of this.#holders)
      if (party.priority === priority && !isAsked) uses.add(account, 1);
    return uses;
  }

  /** How many slots each client waits for, of those for whom somebody waits. */
  #wanting(uses: Uses): Map<string, number> {
    const wanting = new Map<string, number>();
    for (const { party } of this.#waiting) {
      if (party.priority !== 'normal') continue;
      const client = uses.least(party.clients);
      wanting.set(client, (wanting.get(client) ?? 0) + 1);
    }
    return wanting;
  }

  #some(priority: Party['priority']): boolean {
    return [...this.#waiting].some(({ party }) => party.priority === priority);
  }

  /** The latest of the client that wants the most goes. */
  #thin(): void {
    const counts = new Uses();
    const clientOf = ({ party }: Waiter): string => counts.least(party.clients);
    for (const waiter of this.#waiting) counts.add(clientOf(waiter), 1);
    const most = [...this.#waiting].reduce((one, other) =>
      counts.of(clientOf(other)) >= counts.of(clientOf(one)) ? other : one,
    );
    most.refuse(new CrowdedError());
  }

  #about(): Set<string> {
    const about = new Set([...this.#holders].map(({ account }) => account));
    for (const { party } of this.#waiting) for (const client of party.clients) about.add(client);
    return about;
  }
}

/** How many clients hold or want some. */
function clientsOf(uses: Uses, wanting: ReadonlyMap<string, number>): number {
  return new Set([...uses.clients, ...wanting.keys()]).size;
}
