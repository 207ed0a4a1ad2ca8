import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Content } from '../../../../src/cli/setup/contract/client-setup.ts';
import { lineDiff } from '../../../../src/cli/setup/files/line-diff.ts';
import { merge } from '../../../../src/cli/setup/files/merge.ts';

const own: Content = { kind: 'own', text: '# Written by weir setup x\na\n' };
const json: Content = { kind: 'json', lists: { mirrors: ['http://w'] } };
const variables: Content = { kind: 'variables', set: { A: '1', B: '2' } };

function textOf(now: string | undefined, content: Content): string {
  const merged = merge(now, content);
  if (merged.kind !== 'changed') throw new Error(`${merged.kind} instead of a change`);
  return merged.text;
}

describe('merging', () => {
  it('writes what is not there', () => {
    expect(textOf(undefined, own)).toBe(own.text);
    expect(textOf('\n', own)).toBe(own.text);
    expect(textOf(undefined, json)).toBe('{\n  "mirrors": [\n    "http://w"\n  ]\n}\n');
    expect(textOf(undefined, variables)).toBe('A=1\nB=2\n');
  });

  it('replaces what weir wrote, and nothing that somebody else did', () => {
    expect(textOf('# Written by weir setup x\nold\n', own)).toBe(own.text);
    expect(merge('mine\n', own)).toMatchObject({ kind: 'conflict' });
  });

  it('keeps every other key of a JSON object, their order and the indentation', () => {
    const now = '{\n    "debug": true,\n    "mirrors": ["http://other"],\n    "x": { "y": [1] }\n}\n';
    expect(textOf(now, json)).toBe(
      `${JSON.stringify({ debug: true, mirrors: ['http://w', 'http://other'], x: { y: [1] } }, undefined, '    ')}\n`,
    );
  });

  it('knows a mirror with a slash at its end', () => {
    expect(merge('{"mirrors":["http://w/"]}', json)).toEqual({ kind: 'same' });
  });

  it.each(['{', '[]', 'null', '"x"', '{"mirrors":"http://w"}', '{"mirrors":[1]}'])(
    'leaves %s to its owner, whatever is wrong with it',
    (now) => {
      expect(merge(now, json)).toMatchObject({ kind: 'conflict' });
    },
  );

  it('sets variables where they stand, once, and keeps all other lines', () => {
    expect(textOf('# c\nexport B=old\nC=3\nB=older\n\n', variables)).toBe('# c\nB=2\nC=3\nA=1\n');
    expect(merge('C=3\nA=1\nB=2\n', variables)).toEqual({ kind: 'same' });
  });

  it('only looks for a part of a file that is not weir’s', () => {
    const part: Content = { kind: 'part', text: 'p = 1\n', isThere: /^p = 1$/m };
    expect(textOf(undefined, part)).toBe('p = 1\n');
    expect(merge('a\np = 1\n', part)).toEqual({ kind: 'same' });
    expect(merge('a\n', part)).toMatchObject({ kind: 'conflict' });
  });

  it('a second time changes nothing, and no other key is lost, whatever the object', () => {
    const keys = fc.constantFrom('a', 'mirrors', 'z');
    const values = fc.oneof(fc.array(fc.constantFrom('http://w', 'http://v/', 'u')), fc.integer(), fc.object());
    fc.assert(
      fc.property(fc.dictionary(keys, values, { noNullPrototype: true }), (object) => {
        const now = JSON.stringify(object);
        const merged = merge(now, json);
        if (merged.kind !== 'changed') return;
        expect(merge(merged.text, json)).toEqual({ kind: 'same' });
        const after = JSON.parse(merged.text) as Record<string, unknown>;
        for (const [key, value] of Object.entries(JSON.parse(now) as object)) {
          if (key === 'mirrors') expect(after[key]).toEqual(expect.arrayContaining(value as unknown[]));
          else expect(after[key]).toEqual(value);
        }
      }),
    );
  });
});

describe('the difference of two texts', () => {
  it('is that of diff -u', () => {
    const before = 'a\nb\nc\nd\ne\nf\ng\nh\n';
    expect(lineDiff('/x', before, before.replace('e\n', 'E\nF\n'))).toBe(
      '--- /x\n+++ /x\n@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+E\n+F\n f\n g\n h\n',
    );
    expect(lineDiff('/x', undefined, 'a\n')).toBe('--- /dev/null\n+++ /x\n@@ -0,0 +1,1 @@\n+a\n');
    expect(lineDiff('/x', 'a\n', 'a\nb\n')).toBe('--- /x\n+++ /x\n@@ -1,1 +1,2 @@\n a\n+b\n');
  });

  it('tells both texts apart, and can be read backwards', () => {
    const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 }).map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const body = lineDiff('/x', before, after).split('\n').slice(3, -1);
        const side = (marks: string): string =>
          body
            .filter((line) => marks.includes(line[0] ?? '?'))
            .map((line) => line.slice(1))
            .join('\n');
        expect(before).toContain(side(' -'));
        expect(after).toContain(side(' +'));
      }),
    );
  });
});
