import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseChallenge, parseChallenges } from '../../src/headers/www-authenticate.ts';

/** As plain values: [scheme, parameters]. */
function parsed(...lines: readonly string[]): readonly (readonly [string, Record<string, string>])[] {
  return parseChallenges(lines).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)] as const);
}

describe('parseChallenges', () => {
  const cases: readonly (readonly [string, readonly string[], ReturnType<typeof parsed>])[] = [
    [
      'Docker Hub, with a comma inside the quoted scope',
      ['Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'],
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:a/b:pull,push',
          },
        ],
      ],
    ],
    [
      'a lower-case scheme and an unquoted service',
      ['bearer realm="https://gcr.io/v2/token",service=gcr.io'],
      [['bearer', { realm: 'https://gcr.io/v2/token', service: 'gcr.io' }]],
    ],
    [
      'two challenges in one line',
      ['Basic realm="quay.io", Bearer realm="https://quay.io/v2/auth",service="quay.io"'],
      [
        ['basic', { realm: 'quay.io' }],
        ['bearer', { realm: 'https://quay.io/v2/auth', service: 'quay.io' }],
      ],
    ],
    [
      'no service and no scope',
      ['Bearer realm="https://us-docker.pkg.dev/v2/token"'],
      [['bearer', { realm: 'https://us-docker.pkg.dev/v2/token' }]],
    ],
    [
      'no service',
      ['Bearer realm="https://nvcr.io/proxy_auth",scope="repository:nvidia/x:pull"'],
      [['bearer', { realm: 'https://nvcr.io/proxy_auth', scope: 'repository:nvidia/x:pull' }]],
    ],
    [
      'a bare scope with commas, followed by another parameter',
      ['Bearer realm="https://nvcr.io/proxy_auth", scope=repository:nvidia/x:pull,push,service="s"'],
      [['bearer', { realm: 'https://nvcr.io/proxy_auth', scope: 'repository:nvidia/x:pull,push', service: 's' }]],
    ],
    [
      'a realm with a query, several scopes and a port in a name',
      [
        'Bearer realm="https://x/t?a=b",service="s",error="insufficient_scope",scope="repository:h:5000/a:pull repository:c:pull"',
      ],
      [
        [
          'bearer',
          {
            realm: 'https://x/t?a=b',
            service: 's',
            error: 'insufficient_scope',
            scope: 'repository:h:5000/a:pull repository:c:pull',
          },
        ],
      ],
    ],
    [
      'several lines',
      ['Negotiate', 'Basic realm="r"'],
      [
        ['negotiate', {}],
        ['basic', { realm: 'r' }],
      ],
    ],
    [
      'a scheme with token68 before another challenge',
      ['Negotiate oYG2MIGzoAMK==, Basic realm="r"'],
      [
        ['negotiate', {}],
        ['basic', { realm: 'r' }],
      ],
    ],
    [
      'upper-case names, spaces around the equals sign, empty list items',
      [' ,, BEARER  Realm = "https://r/" , , SERVICE =s ,'],
      [['bearer', { realm: 'https://r/', service: 's' }]],
    ],
    [
      'backslash escapes',
      [String.raw`Basic realm="say \"hi\" \\ now"`],
      [['basic', { realm: String.raw`say "hi" \ now` }]],
    ],
    [
      'a comma, an equals sign and a scheme name inside quotes',
      ['Bearer realm="https://r/?x=1, Basic realm=evil",service="a=b,c"'],
      [['bearer', { realm: 'https://r/?x=1, Basic realm=evil', service: 'a=b,c' }]],
    ],
    [
      'an unquoted realm with a query',
      ['Bearer realm=https://r/t?a=b,service=s'],
      [['bearer', { realm: 'https://r/t?a=b', service: 's' }]],
    ],
    ['the first of a repeated parameter', ['Bearer realm="a",realm="b"'], [['bearer', { realm: 'a' }]]],
    [
      'unknown parameters',
      ['Bearer realm="a",x-y="1",charset=UTF-8'],
      [['bearer', { realm: 'a', 'x-y': '1', charset: 'UTF-8' }]],
    ],
    ['a quote that never ends', ['Bearer realm="https://r/'], [['bearer', { realm: 'https://r/' }]]],
    ['parameters without a scheme', ['realm="x",service="y"'], []],
    ['nothing', ['', '   ', ',,,'], []],
  ];

  it.each(cases)('reads %s', (_name, lines, expected) => {
    expect(parsed(...lines)).toEqual(expected);
  });

  it('never throws and keeps its limits, whatever the header says', () => {
    const fragment = fc.constantFrom(
      'Bearer ',
      'Basic',
      'realm=',
      '"',
      '\\',
      ',',
      '=',
      ' ',
      'scope=',
      'a:b:pull,push',
      '\t',
      'x',
    );
    const lines = fc.array(
      fc.oneof(
        fc.string(),
        fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join('')),
      ),
    );
    fc.assert(
      fc.property(lines, (given) => {
        const challenges = parseChallenges(given);
        expect(challenges.length).toBeLessThanOrEqual(32);
        for (const { scheme } of challenges) expect(scheme).toMatch(/^[^\s,="]+$/);
        chooseChallenge(challenges);
      }),
      { numRuns: 1000 },
    );
  });

  it('reads back what a correct server writes, quoted or not', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
    const token = fc.stringMatching(/^[A-Za-z0-9.:/_-]{1,12}$/);
    const value = fc.oneof(
      token.map((text) => ({ text, written: text })),
      fc.string({ unit: fc.constantFrom('a', 'B', ' ', ',', '=', '"', '\\', ':', '/') }).map((text) => ({
        text,
        written: `"${text.replaceAll(/["\\]/g, (char) => `\\${char}`)}"`,
      })),
    );
    const parameters = fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, minLength: 1, maxLength: 5 });
    const challenge = fc.record({ scheme: fc.stringMatching(/^[A-Z][A-Za-z]{1,8}$/), parameters });
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 5 }), fc.boolean(), (challenges, isOneLine) => {
        const lines = challenges.map(
          ({ scheme, parameters: all }) =>
            `${scheme} ${all.map(([key, { written }]) => `${key}=${written}`).join(', ')}`,
        );
        const expected = challenges.map(({ scheme, parameters: all }) => [
          scheme.toLowerCase(),
          Object.fromEntries(all.map(([key, { text }]) => [key, text])),
        ]);
        expect(parsed(...(isOneLine ? [lines.join(', ')] : lines))).toEqual(expected);
      }),
    );
  });

  it('takes linear time for hostile lines', () => {
    const hostile = ['a ', '"', '\\"', 'scope=a,b', 'x=', ' ', 'a='].map((piece) =>
      piece.repeat(16_384 / piece.length),
    );
    const started = performance.now();
    for (const line of hostile) for (let i = 0; i < 20; i++) parseChallenges([line]);
    // 140 lines of 16 KiB: a few milliseconds each at the very worst, where quadratic time would be minutes.
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

describe('chooseChallenge', () => {
  const choose = (...lines: readonly string[]): ReturnType<typeof chooseChallenge> =>
    chooseChallenge(parseChallenges(lines));

  it('prefers Bearer to Basic in any order', () => {
    const bearer = { kind: 'bearer', realm: 'https://r/', service: undefined, scope: undefined, error: undefined };
    expect(choose('Basic realm="x", Bearer realm="https://r/"')).toEqual(bearer);
    expect(choose('Bearer realm="https://r/"', 'Basic realm="x"')).toEqual(bearer);
  });

  it('takes Basic where Bearer names no realm', () => {
    expect(choose('Bearer service="x"', 'BASIC')).toEqual({ kind: 'basic' });
  });

  it('knows no answer to other schemes', () => {
    expect(choose('Negotiate', 'Digest realm="x",nonce="y"')).toBeUndefined();
    expect(choose()).toBeUndefined();
  });

  it('reads an empty service as none', () => {
    expect(choose('Bearer realm="https://r/",service="",scope=" "')).toMatchObject({
      service: undefined,
      scope: undefined,
    });
  });
});
