import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRefName, refName } from '../../../src/store/layout/ref-name.ts';
import { tagKey } from '../support/harness.ts';

describe('names in index.json', () => {
  for (const [text, upstream, repository, tag] of [
    ['docker.io/library/alpine:3.20', 'docker.io', 'library/alpine', '3.20'],
    ['ghcr.io/org/app/deep/er:v1', 'ghcr.io', 'org/app/deep/er', 'v1'],
    ['localhost:5000/app:latest', 'localhost:5000', 'app', 'latest'],
    ['lab/app:x', 'lab', 'app', 'x'],
    ['hf.co/bartowski/Llama-3.2-1B-GGUF:Q4_K_M', 'hf.co', 'bartowski/Llama-3.2-1B-GGUF', 'Q4_K_M'],
    ['[::1]:5000/app:x', undefined, undefined, undefined],
  ] as const) {
    it(`${text} is ${upstream === undefined ? 'nothing' : `${repository} of ${upstream}`}`, () => {
      const expected = upstream === undefined ? undefined : tagKey(repository, tag, upstream);
      expect(parseRefName(text)).toEqual(expected);
      if (expected !== undefined) expect(refName(expected)).toBe(text);
    });
  }

  it('that other programs write are left alone', () => {
    for (const text of [
      '',
      'latest',
      'alpine:3',
      '/a:b',
      'docker.io/a',
      'docker.io/:x',
      'docker.io/A_:x',
      'a/b:',
      'a/b@c:d',
      '../a:b',
      'a b/c:d',
    ]) {
      expect(parseRefName(text), text).toBeUndefined();
    }
  });

  it('come back as what was written, and nothing else is accepted', () => {
    const host = fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z]{2,5})?(:[1-9][0-9]{1,4})?$/);
    const repository = fc.stringMatching(/^[a-z0-9]{1,6}(\/[a-z0-9]{1,6}([._-][a-z0-9]{1,3})?){0,3}$/);
    const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/);
    fc.assert(
      fc.property(host, repository, tag, (upstream, name, label) => {
        const key = tagKey(name, label, upstream);
        expect(parseRefName(refName(key))).toEqual(key);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        const key = parseRefName(text);
        if (key !== undefined) expect(refName(key)).toBe(text);
      }),
    );
  });
});
