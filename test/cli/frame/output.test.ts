import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { askPerson } from '../../../src/cli/frame/output.ts';

describe('a question at the terminal', () => {
  it.each([
    ['y\n', true],
    [' YES \n', true],
    ['yes', false],
    ['n\n', false],
    ['\n', false],
    ['yesterday\n', false],
    ['', false],
  ])('%j: %s', async (typed, expected) => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const answer = askPerson('Write this?', input, output);
    input.end(typed);
    expect(await answer).toBe(expected);
    output.end();
    expect(await text(output)).toContain('Write this? [y/N] ');
  });
});
