/** docs/conformance.md names tests that exist, and all of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const here = import.meta.dirname;
const table = readFileSync(resolve(here, '..', '..', 'docs', 'conformance.md'), 'utf8');

/** This file, and the matrices of signatures, of which the specification says nothing. */
const others = /^(?:table|signatures.*)\.test\.ts$/;

/** `file: name` of every test, the name after that of its group, as vitest's `-t` has it. */
function testsIn(file: string): readonly string[] {
  const text = readFileSync(join(here, file), 'utf8');
  const topic = file.replace('.test.ts', '');
  let group = '';
  return [...text.matchAll(/(\bdescribe|\bit|\))\(\s*'((?:[^'\\]|\\.)*)',\s*(?:async )?\(/g)].flatMap(
    ([, before, name = '']) => {
      if (before !== 'describe') return [`${topic}: ${group} ${name}`];
      group = name;
      return [];
    },
  );
}

/** What the second cell of a row names. */
function testsOf(row: string): readonly string[] {
  const cell = row.split(' | ')[1] ?? '';
  return cell
    .split('<br>')
    .map((text) => /^\[([\w-]+)\]\(\.\.\/test\/conformance\/\1\.test\.ts\): (.+)$/.exec(text.trim()))
    .map((match) => `${match?.[1]}: ${match?.[2]?.trim()}`);
}

describe('docs/conformance.md', () => {
  const files = readdirSync(here).filter((name) => name.endsWith('.test.ts') && !others.test(name));
  const tests = files.flatMap(testsIn);
  const rows = table
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:---|The specification says)/.test(line));

  it('can be compared: no test hides from the look at the sources', () => {
    expect(files.length).toBe(8);
    for (const file of files) {
      const calls = readFileSync(join(here, file), 'utf8').match(/^ +it(?:\.each)?\(/gm);
      expect([file, testsIn(file).length]).toEqual([file, calls?.length]);
    }
    expect(new Set(tests).size).toBe(tests.length);
    expect(tests.length).toBeGreaterThan(60);
  });

  it('says of every requirement how weir meets it, by tests that exist or for a reason', () => {
    expect(rows.length).toBeGreaterThan(40);
    for (const row of rows) {
      const [, requirement = '', cell = '', result = ''] = row.split(/(?:^| +)\|(?: +|$)/);
      expect([requirement, result.length]).not.toEqual([requirement, 0]);
      if (cell.trim() === '–')
        expect([requirement, result]).toEqual([requirement, expect.stringMatching(/^Not applicable: /)]);
      else expect([requirement, testsOf(row).filter((name) => !tests.includes(name))]).toEqual([requirement, []]);
    }
  });

  it('leaves no test out', () => {
    const named = new Set(rows.flatMap(testsOf));
    expect(tests.filter((name) => !named.has(name))).toEqual([]);
  });
});
