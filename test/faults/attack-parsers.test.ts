/**
 * Every parser that is written by hand and reads text of clients, upstreams or a root, against texts made to be dear: what
 * twice as much costs, and what the dearest single text does. CPU of this thread, so that nobody else's work counts.
 */
import { describe, expect, it } from 'vitest';
import { placeIn } from '../../src/lib/json/long.ts';
import { referrersBounds, referrersOf } from '../../src/oci/referrers.ts';
import { cutPage, tagsBounds, tagsOf } from '../../src/oci/tag-list.ts';
import { tagMatcher } from '../../src/config/values/tag-matcher.ts';
import { matchesEtag } from '../../src/headers/etag.ts';
import { parseSimpleHead } from '../../src/http/hot/simple-head.ts';
import { escaped, readable } from '../../src/http/request/text.ts';
import { ClientAddresses, clientAddress } from '../../src/lib/sharing/client-address.ts';
import { retryWait } from '../../src/headers/retry-after.ts';
import { isDigestGrammar, parseDigest } from '../../src/oci/digest.ts';
import { isJsonObject, listField, parseJson } from '../../src/lib/json/json.ts';
import { parseLayoutIndex } from '../../src/oci/layout.ts';
import { nextLink } from '../../src/headers/link.ts';
import { readManifest } from '../../src/oci/manifest.ts';
import { storedMediaType } from '../../src/oci/media-type.ts';
import { parseContentRange, parseRange, resolveRanges } from '../../src/headers/range.ts';
import { parseReference, parseRepository, type Repository } from '../../src/oci/reference.ts';
import { parseV2Request } from '../../src/oci/v2-request.ts';
import { parseRefName } from '../../src/store/layout/ref-name.ts';
import { parseSideFile } from '../../src/store/ingest/state-file.ts';
import { chooseChallenge, parseChallenges } from '../../src/headers/www-authenticate.ts';
import { parseCredentialDocument } from '../../src/upstream/credentials/docker-config.ts';
import { framingProblem } from '../../src/headers/content-length.ts';
import { targetOf } from '../../src/upstream/network/location.ts';
import { judgeRealm } from '../../src/upstream/auth/realm.ts';
import { nextHop, placeOf } from '../../src/upstream/requests/redirect.ts';
import { createRouter } from '../../src/routing/router.ts';
import { challengeScopes, wantedScopes } from '../../src/upstream/auth/scope.ts';
import { errorCodeIn } from '../../src/upstream/exchange/small-body.ts';
import { parseToken } from '../../src/upstream/auth/token-response.ts';
import { cpuMeter, growth } from '../support/cost.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const registry = new URL('https://registry.test');
const from = placeOf(new URL('https://registry.test/v2/a/blobs/x'));
const router = createRouter([{ key: 'registry.test', hosts: ['mirror.test'], isDefault: true }]);
const clients = new ClientAddresses([{ address: '10.0.0.0', prefix: 8 }]);
const isWanted = tagMatcher(['*a*a*a*b', '?*?*?*z']);

interface Parser {
  readonly run: (text: string) => unknown;
  /** What a text is made of, each repeated and mixed with the others. */
  readonly pieces: readonly string[];
  readonly before?: string;
  readonly after?: string;
  /** Characters of the longest text that comes here. */
  readonly most: number;
}

const kib = 1024;
const blanks = [' ', '\t', 'a', ','];

const parsers: Readonly<Record<string, Parser>> = {
  'a head of the hot path': {
    run: parseSimpleHead,
    before: 'GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\n',
    pieces: ['a:  \r\n', 'dnt: 1\r\n', 'a:::', '  b', 'x_y: z\r\n', '\r\n'],
    after: '\r\n\r\n',
    most: 2 * kib,
  },
  'a request target': {
    run: (text) => parseV2Request('GET', text, 'a'),
    before: '/v2/',
    pieces: ['a/', 'a--', 'a__', 'a.', '%3a', 'blobs/uploads/', 'manifests/', '?n=1&', '&ns=a', 'HTTP://a/'],
    after: '/manifests/1_',
    most: 16 * kib,
  },
  'a repository, a reference and a digest': {
    run: (text) => [parseRepository(text), parseReference(text), parseDigest(text), isDigestGrammar(text)],
    pieces: ['a', 'a-', '--', '__', '.', '/', 'a+', 'sha256:', '0'],
    after: '!',
    most: 16 * kib,
  },
  'a name and where it leads': {
    run: (text) => router.route({ ns: [text.slice(0, text.length >> 1)], host: text, name: text }),
    pieces: ['a.', 'A', '/', ':5000', '-5000', 'registry.test/'],
    after: ':',
    most: 16 * kib,
  },
  'a range': {
    run: (text) => {
      const ranges = parseRange(text);
      return typeof ranges === 'string' ? ranges : resolveRanges(ranges, 1 << 30);
    },
    before: 'bytes=',
    pieces: ['0-0,', '-', '1', ' ', '\t', ',', '0-,', '-5,', '9'.repeat(20)],
    most: 32 * kib,
  },
  'a condition': { run: (text) => matchesEtag(text, digest as never), pieces: ['W/', '"', ...blanks], most: 16 * kib },
  'a forwarded address': {
    run: (text) => [clients.of('10.0.0.1', text), clientAddress(text)],
    pieces: ['10.0.0.1, ', '[::1]:1,', '::', '1:', ...blanks],
    after: ', 10.0.0.2',
    most: 16 * kib,
  },
  'a message for the log': {
    run: (text) => [readable(text), escaped(text)],
    pieces: ['http://', 'a', '@', '?', '#', ' ', '\n', '\u2028', 'https://a?'],
    most: 64 * kib,
  },
  'a challenge': {
    run: (text) => challengeScopes(textOf(chooseChallenge(parseChallenges([text])))),
    before: 'Bearer realm="https://a",scope="',
    pieces: ['"', '\\', '=', 'a', 'a=', 'a:b:c ', 'scope=a:b,', ', ', 'Basic ', 'a=== '],
    most: 16 * kib,
  },
  'hints of scopes': {
    run: (text) => wantedScopes('a/b' as Repository, challengeScopes(text)),
    pieces: ['repository:a/b:pull ', ':', ',', 'aws ', 'a:b:c,', 'repository(a):a/b:x,'],
    most: 16 * kib,
  },
  'a realm': {
    run: (text) => judgeRealm(text, registry, ['a.test']),
    before: 'https://a',
    pieces: ['.', 'a-', '@', '/', '%41', '\\'],
    most: 16 * kib,
  },
  'a Location': {
    run: (text) => [targetOf(text, '/v2/a/blobs/x'), nextHop(from, text, { mayDowngrade: () => false })],
    before: '/v2/',
    pieces: ['../', './', '/', '%2e%2e/', '\\', '%', "'", 'a', '?', '#', '/..'],
    most: 32 * kib,
  },
  'a Link': {
    run: nextLink,
    pieces: ['<', '>', '<a>;', ';rel', '="', '\\"', '"', ' ', ',', '; a=b', 'next '],
    after: '; rel="next"',
    most: 16 * kib,
  },
  'a Content-Type': {
    run: (text) => storedMediaType(text, { mediaType: text, shape: 'manifest' }),
    before: 'application/vnd.',
    pieces: ['a', '.', '+', '/', ';', ' ', 'a-'],
    after: '!',
    most: 16 * kib,
  },
  'a Retry-After': {
    run: (text) => retryWait(text, 0),
    before: 'Mon, ',
    pieces: ['1', ' ', 'Jan ', ':', '(', ')', 'GMT', '-'],
    most: 16 * kib,
  },
  'a Content-Range and a framing': {
    run: (text) => [parseContentRange(text), framingProblem({ 'content-length': text, 'transfer-encoding': text })],
    before: 'bytes ',
    pieces: ['1', '-', '*', '/', ' ', 'chunked, '],
    most: 16 * kib,
  },
  'an error document': {
    run: errorCodeIn,
    before: '{"errors":[',
    pieces: ['[', '{"code":"A"},', '"', '\\"', ']'],
    most: 16 * kib,
  },
  'a token answer': {
    run: (text) => parseToken(Buffer.from(text)),
    before: '{"token":"',
    pieces: ['a', '"', '","a":"', '[', '{"":', '\\u0000', '"},{"'],
    after: '"}',
    most: 64 * kib,
  },
  'a credentials document': {
    run: (text) => attempt(() => parseCredentialDocument(`{"auths":{"${text}":{"auth":"${text}"}}}`, 'here')),
    pieces: ['a', '/', 'https://', '/v1', '=', 'QQ==', ' ', '\\u0000', '":{},"'],
    most: 64 * kib,
  },
  'a tag pattern': { run: isWanted, pieces: ['a', 'b', 'aa', 'z', '.'], after: '_', most: 128 },
  'a name in index.json': { run: parseRefName, pieces: ['a', '/', ':', 'a-', '.', '[', '__'], most: 16 * kib },
};

const documents: Readonly<Record<string, Parser>> = {
  'a manifest': {
    run: (text) => readManifest(Buffer.from(text)),
    before: '{"manifests":[',
    pieces: ['[', '{},', '{"a":0},', '"\\"",', ']', `{"digest":"${digest}","size":1,"mediaType":"a/b"},`, '0,'],
    after: '{}]}',
    most: 1024 * kib,
  },
  'a list of tags': {
    run: (text) => cutPage(tagsOf(parseJson(text, tagsBounds)) ?? [], { n: 1, last: 'x' }, '/v2/a/tags/list?last=y'),
    before: '{"tags":[',
    pieces: ['"a",', '[],', '{},', '"a', '0,', '"a--",'],
    after: '"a"]}',
    most: 1024 * kib,
  },
  'a list of referrers': {
    run: (text) => {
      const document = parseJson(text, referrersBounds);
      return isJsonObject(document) ? referrersOf(listField(document, 'manifests')) : undefined;
    },
    before: '{"manifests":[',
    pieces: [`{"digest":"${digest}"},`, '{},', '[', '"a":', ']'],
    after: `{"digest":"${digest}"}]}`,
    most: 1024 * kib,
  },
  'the array of a long document': {
    run: (text) => [...placeIn(Buffer.from(text), ['value', 'tags'], tagsBounds, 256 * kib)],
    before: '{"value":{"tags":[',
    pieces: ['"a",', '[],', '{},', '"a', '\\', '"value":{', '"tags":[', ']', '}'],
    after: '"a"]}}',
    most: 1024 * kib,
  },
  'an index.json': {
    run: (text) => parseLayoutIndex(Buffer.from(text)),
    before: '{"manifests":[',
    pieces: [`{"digest":"${digest}","size":1,"mediaType":"a/b"},`, '{},', '[', '"a":', '0,'],
    after: '{}]}',
    most: 1024 * kib,
  },
  'a side file': {
    run: (text) => parseSideFile(Buffer.from(text)),
    before: `{"digest":"${digest}","upstream":"a","updatedAtMs":1,"synced":[`,
    pieces: ['[0,1],', '[1,1],', '[', '0,', '[5,6],[0,1],'],
    after: '[9,9]]}',
    most: 1024 * kib,
  },
};

/** Bounded by what is 100 ms of one thread, and far from it unless something is wrong. */
const longestStepMicros = 100_000;
const generatedEach = 4_800;

function textOf(choice: ReturnType<typeof chooseChallenge>): string | undefined {
  return choice?.kind === 'bearer' ? choice.scope : undefined;
}

function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

/** xorshift: the same texts each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const framed = ({ before = '', after = '' }: Parser, body: string): string => `${before}${body}${after}`;

/** Each piece alone and each pair, as often as fits. */
function pumps({ pieces }: Parser): readonly string[] {
  return [...pieces, ...pieces.flatMap((a) => pieces.filter((b) => b !== a).map((b) => a + b))];
}

/** Whole pumps only: a text that is cut inside of one may be another kind of text than one of twice the length. */
function pumped(parser: Parser, pump: string, length: number): string {
  return framed(parser, pump.repeat(Math.max(1, Math.floor(length / pump.length))));
}

function micros(run: () => unknown): number {
  const before = cpuMeter.nowMicros();
  run();
  return cpuMeter.nowMicros() - before;
}

/** What seems long may be the clock's or the collector's doing: only what is long three times is. */
function isLong(run: () => unknown): boolean {
  for (let i = 0; i < 3; i++) if (micros(run) < longestStepMicros) return false;
  return true;
}

/** The pumps that cost most at full length: there is no need to watch the others grow. */
function dearest(parser: Parser, count: number): readonly string[] {
  const cost = (pump: string): number => {
    const text = pumped(parser, pump, parser.most);
    const started = performance.now();
    parser.run(text);
    return performance.now() - started;
  };
  return pumps(parser)
    .map((pump) => ({ pump, ms: Math.min(cost(pump), cost(pump)) }))
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, count)
    .map(({ pump }) => pump);
}

const small = Object.entries(parsers);
const large = Object.entries(documents);

describe('what a pumped text costs', () => {
  it.each([...small, ...large])('grows with its length: %s', (_, parser) => {
    const to = parser.most;
    for (const pump of dearest(parser, 2)) {
      const make = (length: number): string => pumped(parser, pump, length);
      const { ratio } = growth({ from: to / 4, to, meter: { ...cpuMeter, leastMicros: 12_000 } }, make, parser.run);
      expect(ratio, JSON.stringify(pump)).toBeLessThan(3);
    }
  });

  it.each([...small, ...large])('is never 100 ms at once: %s', (_, parser) => {
    for (const pump of pumps(parser)) {
      const text = pumped(parser, pump, parser.most);
      expect(
        isLong(() => parser.run(text)),
        JSON.stringify(pump),
      ).toBe(false);
    }
  });
});

describe('what any mixture costs', () => {
  it('adds up to more than 100,000 texts', () => {
    expect(small.length * generatedEach).toBeGreaterThan(100_000);
  });

  it.each(small)('is never 100 ms at once: %s', (_, parser) => {
    const next = random(0x5eed);
    const pick = (): string => parser.pieces[Math.floor(next() * parser.pieces.length)] ?? '';
    for (let i = 0; i < generatedEach; i++) {
      const parts = Array.from({ length: 1 + Math.floor(next() * 40) }, () =>
        pick().repeat(1 + Math.floor(next() ** 4 * 60)),
      );
      const text = framed(parser, parts.join('').slice(0, parser.most));
      const started = performance.now();
      parser.run(text);
      // Looked at again only where it took long by the clock.
      if (performance.now() - started < longestStepMicros / 1000) continue;
      expect(
        isLong(() => parser.run(text)),
        text,
      ).toBe(false);
    }
  });
});

describe('documents of a million entries', () => {
  const many = 1_000_000;
  it.each([
    ['deep', '['.repeat(many)],
    ['wide', `[${'{},'.repeat(many)}{}]`],
    ['many names', `{${Array.from({ length: many }, (_, i) => `"${i.toString(36)}":0`).join(',')}}`],
    ['many shapes', `[${Array.from({ length: many }, (_, i) => `{"${i.toString(36)}":0}`).join(',')}]`],
    ['descending intervals', Array.from({ length: many }, (_, i) => `[${many - i},${many - i}]`).join(',')],
  ])('are refused before they are parsed: %s', (_, text) => {
    const bytes = Buffer.from(text);
    const most = bytes.subarray(0, 4 * kib * kib);
    for (const run of [
      () => readManifest(most),
      () => parseJson(bytes.subarray(0, 8 * kib * kib), tagsBounds),
      () => parseJson(bytes.subarray(0, 8 * kib * kib), referrersBounds),
      () => parseToken(bytes),
      () => parseSideFile(most),
    ]) {
      expect(isLong(run)).toBe(false);
    }
  });
});
