import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { Secret } from '../../src/lib/secret.ts';

it('a secret turns into *** wherever it is turned into text', () => {
  const secret = new Secret('c4n4ry');
  const error = new Error(`with ${String(secret)}`, { cause: { secret } });
  for (const text of [
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    inspect(error),
    inspect([secret]),
  ]) {
    expect(text).not.toContain('c4n4ry');
    expect(text).toContain('***');
  }
  expect(secret.reveal()).toBe('c4n4ry');
});
