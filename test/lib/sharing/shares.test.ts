import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Party } from '../../../src/lib/sharing/party.ts';
import { Shares } from '../../../src/lib/sharing/shares.ts';
import { CrowdedError, type SlotTerms } from '../../../src/lib/sharing/slot.ts';

/** A slot that `client` has, or waits for. */
interface Held {
  readonly name: string;
  readonly party: Party;
  readonly control: AbortController;
  slot: Disposable | undefined;
  isWanted: boolean;
}

class Rig {
  readonly shares: Shares;
  readonly order: string[] = [];
  readonly all: Held[] = [];

  constructor(limit: number, mostWaiting?: number) {
    this.shares = new Shares(limit, mostWaiting);
  }

  ask(client: string, terms: Partial<SlotTerms> & { priority?: 'normal' | 'low'; returns?: boolean } = {}): Held {
    const { priority = 'normal', returns = false, ...rest } = terms;
    const party = terms.party ?? new Party(priority, client);
    const held: Held = { name: client, party, control: new AbortController(), slot: undefined, isWanted: false };
    this.all.push(held);
    const onWanted = (): void => {
      held.isWanted = true;
      if (returns) held.slot?.[Symbol.dispose]();
    };
    // Whoever waits for it looks at `slot`.
    void this.shares.acquire({ ...rest, party, onWanted }, held.control.signal).then(
      (slot) => {
        held.slot = slot;
        this.order.push(client);
      },
      () => undefined,
    );
    return held;
  }

  async many(client: string, count: number, terms?: Parameters<Rig['ask']>[1]): Promise<readonly Held[]> {
    const held = Array.from({ length: count }, () => this.ask(client, terms));
    await settled();
    return held;
  }

  holds(client: string): number {
    return this.all.filter(({ name, slot, isWanted }) => name === client && slot !== undefined && !isWanted).length;
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

function giveBack(held: Iterable<Held>): void {
  for (const { slot } of held) slot?.[Symbol.dispose]();
}

describe('shares', () => {
  it('give one client all but an eighth, as long as nobody else wants any', async () => {
    const rig = new Rig(64);
    await rig.many('a', 100);
    expect([rig.holds('a'), rig.shares.active, rig.shares.waiting]).toEqual([56, 56, 44]);
  });

  it('keep nothing back that one client is entitled to anyway', async () => {
    for (const limit of [1, 2]) {
      const rig = new Rig(limit);
      await rig.many('a', 3);
      expect(rig.holds('a')).toBe(limit);
    }
  });

  it('keep one of few for whoever comes next, which nobody has to give back', async () => {
    for (const limit of [3, 4, 7]) {
      const rig = new Rig(limit);
      await rig.many('a', limit, { mayBeTaken: () => false });
      await rig.many('b', 1);
      expect([rig.holds('a'), rig.holds('b')]).toEqual([limit - 1, 1]);
    }
  });

  it('give a second client a slot at once, and take back what it lacks to an equal share', async () => {
    const rig = new Rig(64);
    await rig.many('a', 100, { returns: true });
    await rig.many('b', 1);
    expect([rig.holds('a'), rig.holds('b')]).toEqual([56, 1]);
    await rig.many('b', 100);
    expect([rig.holds('a'), rig.holds('b'), rig.shares.active]).toEqual([28, 28, 56]);
  });

  it('take nothing back for a client that has its share, and nothing twice', async () => {
    const rig = new Rig(8);
    const first = await rig.many('a', 7);
    await rig.many('b', 7);
    const wanted = first.filter(({ isWanted }) => isWanted);
    expect([rig.holds('a'), wanted.length]).toEqual([4, 3]);
    giveBack(wanted);
    await settled();
    expect([rig.holds('a'), rig.holds('b'), first.filter(({ isWanted }) => isWanted).length]).toEqual([4, 3, 3]);
  });

  it('let run on what cannot be continued, and still have an eighth for others', async () => {
    const rig = new Rig(16);
    const all = await rig.many('a', 16, { mayBeTaken: () => false });
    await rig.many('b', 16);
    expect([rig.holds('a'), rig.holds('b'), all.some(({ isWanted }) => isWanted)]).toEqual([14, 2, false]);
  });

  it('go round among clients, and not among what they ask for', async () => {
    const rig = new Rig(1);
    const [held] = await rig.many('x', 1);
    for (const client of ['a', 'a', 'a', 'b', 'c']) rig.ask(client);
    let next = held;
    for (let turn = 0; turn < 5; turn++) {
      giveBack(next === undefined ? [] : [next]);
      await settled();
      next = rig.all.findLast(({ name, slot }) => name === rig.order.at(-1) && slot !== undefined);
    }
    expect(rig.order.slice(1, 4).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('serve what a client has begun before what it has not', async () => {
    const rig = new Rig(1);
    const [held] = await rig.many('a', 1);
    const [later] = await rig.many('a', 1);
    const [begun] = await rig.many('a', 1, { isContinued: true });
    giveBack(held === undefined ? [] : [held]);
    await settled();
    expect([later?.slot, begun?.slot]).toEqual([undefined, expect.anything()]);
  });

  it('count what is done for several clients as the one’s who holds the fewest', async () => {
    const rig = new Rig(8);
    await rig.many('a', 7);
    const both = new Party('normal');
    both.join('a');
    const leave = both.join('b');
    const shared = rig.ask('both', { party: both });
    await settled();
    // It is b's, so it gets what is kept for b.
    expect(shared.slot).toBeDefined();
    leave();
    rig.ask('b');
    await settled();
    // And now it is a's, who has more than a share.
    expect(rig.all.filter(({ isWanted }) => isWanted)).toHaveLength(1);
  });

  it('serve what nobody waits for last, and take it back first, the latest before the others', async () => {
    const rig = new Rig(3);
    await rig.many('a', 1);
    const [first] = await rig.many('p', 1, { priority: 'low' });
    const [second] = await rig.many('q', 1, { priority: 'low' });
    const [third] = await rig.many('r', 1, { priority: 'low' });
    const [client] = await rig.many('a', 1);
    expect([first?.isWanted, second?.isWanted, third?.slot]).toEqual([false, true, undefined]);
    giveBack(second === undefined ? [] : [second]);
    await settled();
    expect([client?.slot === undefined, third?.slot]).toEqual([false, undefined]);
  });

  it('take along who waits with a priority that changes, and leave a holder alone whose priority has risen', async () => {
    const rig = new Rig(2);
    const [low, joined] = await rig.many('p', 2, { priority: 'low' });
    joined?.party.moveTo('normal');
    const [waiter] = await rig.many('a', 1, { priority: 'low' });
    expect(rig.all.some(({ isWanted }) => isWanted)).toBe(false);
    waiter?.party.moveTo('normal');
    expect([low?.isWanted, joined?.isWanted]).toEqual([true, false]);
  });

  it('turn away the latest of the client that wants the most when too many wait', async () => {
    const rig = new Rig(1, 3);
    await rig.many('a', 3);
    const refused = rig.shares.acquire({ party: new Party('normal', 'a') });
    const other = rig.ask('b');
    await settled();
    // b's one fits, because one of a's went.
    expect([rig.shares.waiting, other.slot]).toEqual([3, undefined]);
    await expect(refused).rejects.toBeInstanceOf(CrowdedError);
  });

  it('leave nothing of one who has given up, and no listener on a signal', async () => {
    const rig = new Rig(1);
    const [held] = await rig.many('a', 1);
    const [gone] = await rig.many('b', 1);
    gone?.control.abort(new Error('left'));
    await settled();
    expect(rig.shares.waiting).toBe(0);
    const [next] = await rig.many('b', 1);
    giveBack(held === undefined ? [] : [held]);
    giveBack(held === undefined ? [] : [held]);
    await settled();
    expect([next?.slot === undefined, rig.shares.active]).toEqual([false, 1]);
    expect(getEventListeners(next?.control.signal ?? new AbortController().signal, 'abort')).toEqual([]);
    await expect(
      rig.shares.acquire({ party: new Party('normal') }, AbortSignal.abort(new Error('no'))),
    ).rejects.toThrow('no');
  });

  it('hand out a spare one only if nobody waits and the client may have it', async () => {
    const rig = new Rig(8);
    await rig.many('a', 6);
    const spare = rig.shares.tryAcquire({ party: new Party('normal', 'a') });
    expect(spare).toBeDefined();
    expect(rig.shares.tryAcquire({ party: new Party('normal', 'a') })).toBeUndefined();
    expect(rig.shares.tryAcquire({ party: new Party('normal', 'b') })).toBeDefined();
  });

  it('refuse a limit that would block everybody', () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) expect(() => new Shares(limit)).toThrow(RangeError);
  });

  it('never exceed the limit, leave no slot idle that somebody may have, and end fair, whoever comes and goes (property)', async () => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 10 }),
        fc.array(
          fc.record({
            client: fc.constantFrom('a', 'a', 'a', 'b', 'c'),
            does: fc.constantFrom('ask', 'ask', 'ask', 'ask', 'ask', 'end', 'leave'),
            isFixed: fc.constantFrom(true, false, false),
          }),
          { minLength: 30, maxLength: 60 },
        ),
        async (limit, steps) => {
          const rig = new Rig(limit);
          for (const { client, does, isFixed } of steps) {
            const own = rig.all.filter(({ name }) => name === client);
            if (does === 'ask') rig.ask(client, { returns: true, mayBeTaken: () => !isFixed });
            else if (does === 'end') giveBack(own.slice(0, 1));
            else own.at(-1)?.control.abort(new Error('left'));
            await settled();
            expect(rig.shares.active).toBeLessThanOrEqual(limit);
            const isIdle = rig.shares.active < limit - Math.max(1, Math.floor(limit / 8));
            expect(isIdle && rig.shares.waiting > 0).toBe(false);
          }
          taken += rig.all.filter(({ isWanted }) => isWanted).length;
          for (const held of rig.all) held.control.abort(new Error('over'));
          giveBack(rig.all);
          await settled();
          giveBack(rig.all);
          expect([rig.shares.active, rig.shares.waiting]).toEqual([0, 0]);
        },
      ),
    );
    expect(taken).toBeGreaterThan(20);
  });
});
