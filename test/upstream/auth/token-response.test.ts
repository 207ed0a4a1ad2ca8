import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseToken } from '../../../src/upstream/auth/token-response.ts';

function parse(value: unknown): { value: string; seconds: number } | undefined {
  const token = parseToken(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  return token === undefined ? undefined : { value: token.value.reveal(), seconds: token.lifetimeMs / 1000 };
}

describe('parseToken', () => {
  it.each([
    [
      { token: 't', expires_in: 300 },
      { value: 't', seconds: 300 },
    ],
    [
      { access_token: 'a', expires_in: 300 },
      { value: 'a', seconds: 300 },
    ],
    [
      { token: 't', access_token: 'a', expires_in: 300 },
      { value: 't', seconds: 300 },
    ],
    [
      { token: '', access_token: 'a', expires_in: 300 },
      { value: 'a', seconds: 300 },
    ],
    [{ token: 't' }, { value: 't', seconds: 60 }],
    [
      { token: 't', expires_in: 0 },
      { value: 't', seconds: 60 },
    ],
    [
      { token: 't', expires_in: -1 },
      { value: 't', seconds: 60 },
    ],
    [
      { token: 't', expires_in: 59 },
      { value: 't', seconds: 60 },
    ],
    [
      { token: 't', expires_in: '120' },
      { value: 't', seconds: 120 },
    ],
    [
      { token: 't', expires_in: 'soon' },
      { value: 't', seconds: 60 },
    ],
    [
      { token: 't', expires_in: null },
      { value: 't', seconds: 60 },
    ],
    [
      { token: 't', expires_in: 1e9 },
      { value: 't', seconds: 3600 },
    ],
    ['{"token":"t","expires_in":1e999}', { value: 't', seconds: 3600 }],
    [
      { token: 't', expires_in: 300, issued_at: '1970-01-01T00:00:00Z' },
      { value: 't', seconds: 300 },
    ],
  ])('reads %j', (answer, expected) => {
    expect(parse(answer)).toEqual(expected);
  });

  it.each([
    '',
    '<html>',
    '[]',
    'null',
    '"token"',
    '{}',
    '{"token":""}',
    '{"token":7}',
    '{"token":"a b"}',
    '{"token":"a\\r\\nx: y"}',
    '{"token":"ünï"}',
    `{"token":"${'x'.repeat(12_289)}"}`,
    `{"token":"t","x":${'['.repeat(40)}${']'.repeat(40)}}`,
    '{"__proto__":{"token":"t"}}',
  ])('finds no token in %.60j', (body) => {
    expect(parse(body)).toBeUndefined();
  });

  it('never throws, and never gives what could not be a header', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.record({ token: fc.string(), expires_in: fc.anything() }).map((v) => JSON.stringify(v) ?? ''),
        ),
        (body) => {
          const token = parse(body);
          if (token === undefined) return;
          expect(token.value).toMatch(/^[\x21-\x7e]+$/);
          expect(token.seconds).toBeGreaterThanOrEqual(60);
          expect(token.seconds).toBeLessThanOrEqual(3600);
        },
      ),
    );
  });

  it('does not print its value', () => {
    const token = parseToken(Buffer.from('{"token":"canary"}'));
    expect(JSON.stringify(token)).not.toContain('canary');
  });
});
