import { describe, expect, it } from 'vitest';
import { Party } from '../../../src/lib/sharing/party.ts';
import { Aside, type Late } from '../../../src/upstream/limits/aside.ts';

function rig() {
  const aside = new Aside();
  const ended: string[] = [];
  const late = (client: string, priority: 'normal' | 'low' = 'normal'): Late & { readonly isIn: boolean } => {
    const one: Late = { party: new Party(priority, client), end: () => void ended.push(client) };
    return Object.assign(one, { isIn: aside.enter(one) });
  };
  const many = (client: string, count: number): readonly boolean[] =>
    Array.from({ length: count }, () => late(client).isIn);
  return { aside, ended, late, many };
}

const all = (count: number): readonly boolean[] => Array(count).fill(true);

describe('questions that wait aside', () => {
  it('are 32, whoever they are for while nobody else needs the places', () => {
    const { aside, many, ended } = rig();
    expect(many('a', 32)).toEqual(all(32));
    expect(many('a', 1)).toEqual([false]);
    expect([aside.size, ended]).toEqual([32, []]);
  });

  it('give places back', () => {
    const { aside, many, late, ended } = rig();
    const one = late('a');
    many('a', 31);
    aside.leave(one);
    aside.leave(one);
    expect([many('a', 1), many('a', 1), ended]).toEqual([[true], [false], []]);
  });

  it('end first where nobody waits for them, the oldest before the others', () => {
    const { late, many, ended, aside } = rig();
    late('old', 'low');
    late('new', 'low');
    many('a', 30);
    expect(many('a', 3)).toEqual([true, true, false]);
    expect([ended, aside.size]).toEqual([['old', 'new'], 32]);
  });

  it('leave 4 places to each client, taken from the one that has most', () => {
    const { many, ended, aside } = rig();
    many('greedy', 28);
    many('other', 4);
    expect(many('modest', 5)).toEqual([true, true, true, true, false]);
    expect([ended, aside.size]).toEqual([Array(4).fill('greedy'), 32]);
  });

  it('take nothing from whoever has 4', () => {
    const { many, ended } = rig();
    for (let client = 0; client < 8; client++) expect(many(`${client}`, 4)).toEqual(all(4));
    expect([many('ninth', 1), ended]).toEqual([[false], []]);
  });
});
