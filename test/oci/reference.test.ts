import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { parsePathName, parseReference, parseRepository, parseTag, referenceText } from '../../src/oci/reference.ts';

describe('reference', () => {
  it.each([
    'a',
    'a/b',
    'a.b_c__d---e/f',
    'library/manifests',
    'x/blobs/uploads',
    '0',
    'docker.io/library/nginx',
    'A',
    'bartowski/Llama-3.2-1B-Instruct-GGUF',
    'MFDoom/deepseek-tool',
  ])('takes %j for a repository', (name) => expect(parseRepository(name)).toBe(name));

  it.each([
    '',
    'a/',
    '/a',
    'a//b',
    '-a',
    'a___b',
    'a..b',
    'a_',
    'a._b',
    'a:5000/b',
    'ü',
    'a b',
    'a\n',
    'a/..',
    '_catalog',
  ])('refuses %j as a repository', (name) => expect(parseRepository(name)).toBeUndefined());

  it('limits a name to 255 characters', () => {
    expect(parseRepository('a'.repeat(255))).toBeDefined();
    expect(parseRepository('a'.repeat(256))).toBeUndefined();
  });

  it('builds a repository from any parts that the grammar allows', () => {
    const word = fc.stringMatching(/^[A-Za-z0-9]{1,6}$/);
    const separator = fc.constantFrom('.', '_', '__', '-', '---');
    const component = fc
      .tuple(word, fc.array(fc.tuple(separator, word), { maxLength: 3 }))
      .map(([head, tail]) => head + tail.flat().join(''));
    fc.assert(
      fc.property(fc.array(component, { minLength: 1, maxLength: 4 }), (components) => {
        const name = components.join('/');
        expect(parseRepository(name)).toBe(name);
        expect(parseRepository(`${name}_`)).toBeUndefined();
        expect(parseRepository(`${name}/`)).toBeUndefined();
      }),
    );
  });

  it('allows a port in the first segment of a path name only', () => {
    for (const name of ['a', 'a/b', 'localhost:5000/a', 'reg.example:1/a/b']) expect(parsePathName(name)).toBe(name);
    for (const name of ['localhost:5000', 'a:b/c', 'a/b:5000/c', 'a:5000:5000/c', 'a:500000/c', ':5000/a', 'a:/b']) {
      expect(parsePathName(name)).toBeUndefined();
    }
  });

  it('counts the port in the length of a path name', () => {
    expect(parsePathName(`a:5000/${'b'.repeat(248)}`)).toBeDefined();
    expect(parsePathName(`a:5000/${'b'.repeat(249)}`)).toBeUndefined();
  });

  it('answers in no time to a name made to backtrack', () => {
    const started = performance.now();
    for (let i = 0; i < 1000; i++) parsePathName(`${'a-'.repeat(127)}!`);
    expect(parseRepository('a'.repeat(1_000_000))).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it.each(['_x', '1.0', 'latest', 'A-b.C_d', 'x'.repeat(128), `sha256-${'0'.repeat(64)}`])(
    'takes %j for a tag',
    (tag) => expect(parseTag(tag)).toBe(tag),
  );

  it.each(['', '.x', '-x', 'x'.repeat(129), 'a+b', 'a b', 'a/b', 'a:b', 'a\n', 'ä'])('refuses %j as a tag', (tag) =>
    expect(parseTag(tag)).toBeUndefined(),
  );

  it('tells tags from digests by the colon', () => {
    const digest = digestOf('x');
    expect(parseReference(digest)).toEqual({ kind: 'digest', digest });
    expect(parseReference('latest')).toEqual({ kind: 'tag', tag: 'latest' });
    expect(parseReference('sha256:totallywrong')).toBeUndefined();
    expect(parseReference('')).toBeUndefined();
    for (const text of [digest, 'v1']) {
      const reference = parseReference(text);
      expect(reference === undefined ? undefined : referenceText(reference)).toBe(text);
    }
  });
});
