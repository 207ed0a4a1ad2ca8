/** Questions without a head for long, which wait beside the slots of their upstream so that they hold up nothing else. */
import type { Party } from '../../lib/sharing/party.ts';

export interface Late {
  readonly party: Party;
  /** Its place is needed. */
  readonly end: () => void;
}

const most = 32;
/** Of those, what one client address has for sure. */
const own = 4;

export class Aside {
  /** In the order in which they came. */
  readonly #late = new Set<Late>();

  get size(): number {
    return this.#late.size;
  }

  /** True when there is a place for it. Where there was none, one is ended: the oldest that nobody waits for, or the latest of who has most. */
  enter(late: Late): boolean {
    if (this.#late.size >= most) {
      const victim = this.#victim(late);
      if (victim === undefined) return false;
      this.#late.delete(victim);
      victim.end();
    }
    this.#late.add(late);
    return true;
  }

  leave(late: Late): void {
    this.#late.delete(late);
  }

  #victim({ party }: Late): Late | undefined {
    const all = [...this.#late];
    const unwanted = all.find((one) => one.party.priority === 'low');
    if (unwanted !== undefined || this.#countOf(party) >= own) return unwanted;
    const [greediest] = all.toSorted((a, b) => this.#countOf(b.party) - this.#countOf(a.party));
    if (greediest === undefined || this.#countOf(greediest.party) <= own) return undefined;
    const client = clientOf(greediest.party);
    return all.findLast((one) => clientOf(one.party) === client);
  }

  #countOf(party: Party): number {
    const client = clientOf(party);
    return [...this.#late].filter((one) => clientOf(one.party) === client).length;
  }
}

function clientOf(party: Party): string {
  const [first] = party.clients;
  return first ?? '';
}
