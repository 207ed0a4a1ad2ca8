/** Heads that Go and curl accept: read once more with their head in order, on a connection of their own. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { inOrder } from '../../../src/upstream/exchange/loose-head.ts';
import type { Sender } from '../../../src/upstream/exchange/sender.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { bytesOf, fetchWith, get, lenientSenderFor } from '../support/senders.ts';
import { serveRaw } from '../support/servers.ts';

const never = new AbortController().signal;
const chunks = '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n';
const answerOf = (headers: readonly string[], body: string): string =>
  ['HTTP/1.1 200 OK', ...headers, '', body].join('\r\n');

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

const clear: readonly (readonly [name: string, headers: readonly string[], body: string])[] = [
  ['a length before chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked'], chunks],
  ['a length behind chunks', ['transfer-encoding: Chunked', 'content-length: 99'], chunks],
  ['a length twice and chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked', 'Content-Length: 5'], chunks],
  ['a length twice', ['Content-Length: 5', 'X: y', 'content-length: 5'], 'abcde'],
  ['blanks around a length', ['Content-Length:  5 '], 'abcde'],
  ['tabs around a length', ['Content-Length:\t5\t'], 'abcde'],
];

/** What comes of an answer: its status and body, or the kind of failure. */
async function outcomeOf(sender: Sender, url: URL): Promise<string> {
  return fetchWith(sender, get('/', url)).then(
    ({ status, body }) => `${status} ${body.toString()}`,
    (error: unknown) => (error instanceof UpstreamError ? error.kind : String(error)),
  );
}

describe.each(['pool', 'line'] as const)('by %s, an answer with', (way) => {
  it.each(clear)('%s is read, and its connection carries nothing else', async (_, headers, body) => {
    await using server = await serveRaw((socket) => socket.write(answerOf(headers, body)));
    await using sender = lenientSenderFor(way, server.url);
    for (let i = 0; i < 3; i++) expect(await outcomeOf(sender, server.url)).toBe('200 abcde');
    // Once as it came; from then on it is known.
    expect([server.seen.length, server.connections]).toEqual([4, 4]);
  });

  it.each(clear)(
    '%s is read when it comes byte by byte, and many interim answers before it',
    async (_, headers, body) => {
      const text = 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20) + answerOf(headers, body);
      await using server = await serveRaw((socket) => {
        socket.setNoDelay(true);
        const next = (at: number): void => {
          if (at < text.length) socket.write(text[at] ?? '', () => setImmediate(next, at + 1));
        };
        next(0);
      });
      await using sender = lenientSenderFor(way, server.url);
      expect(await outcomeOf(sender, server.url)).toBe('200 abcde');
    },
  );

  it.each([
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6'], 'abcde'],
    ['a list of lengths', ['Content-Length: 5, 5'], 'abcde'],
    ['a length in two spellings', ['Content-Length: 5', 'Content-Length: 05'], 'abcde'],
    ['two lengths and chunks', ['Content-Length: 5', 'Content-Length: 6', 'Transfer-Encoding: chunked'], chunks],
    ['a length and gzip', ['Content-Length: 5', 'Transfer-Encoding: gzip, chunked'], chunks],
    [
      'a length, chunks and identity',
      ['Content-Length: 5', 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
      chunks,
    ],
    ['a length that goes on in the next line', ['Content-Length: 5', ' 6', 'Content-Length: 5'], 'abcde'],
  ])('%s is refused after a second look, and the next is asked as ever', async (_, headers, body) => {
    await using server = await serveRaw((socket, index) => {
      socket.write(index < 2 ? answerOf(headers, body) : answerOf(['Content-Length: 4'], 'well'));
    });
    await using sender = lenientSenderFor(way, server.url);
    expect(await outcomeOf(sender, server.url)).toBe('badResponse');
    for (let i = 0; i < 2; i++) expect(await outcomeOf(sender, server.url)).toBe('200 well');
    expect(server.connections).toBeLessThanOrEqual(3);
  });

  it('a length and chunks that is followed by another answer is refused, and gives that to nobody', async () => {
    const planted = answerOf(['Content-Length: 7'], 'planted');
    await using server = await serveRaw((socket, index) => {
      const headers = ['Content-Length: 0', 'Transfer-Encoding: chunked'];
      socket.write(index === 2 ? answerOf(headers, chunks) : answerOf(headers, chunks) + planted);
    });
    await using sender = lenientSenderFor(way, server.url);
    expect(await outcomeOf(sender, server.url)).toMatch(/^(?:200 abcde|badResponse|cut)$/);
    expect(await outcomeOf(sender, server.url)).toBe('200 abcde');
  });

  it('a length and a body that is not in chunks is no body of that length', async () => {
    await using server = await serveRaw((socket) => {
      socket.write(answerOf(['Content-Length: 5', 'Transfer-Encoding: chunked'], 'hello'));
    });
    await using sender = lenientSenderFor(way, server.url);
    expect(await outcomeOf(sender, server.url)).toMatch(/^(?:cut|badResponse)$/);
  });
});

describe('an origin whose heads are loose', () => {
  it('is asked as others are an hour later', async () => {
    let isLoose = true;
    await using server = await serveRaw((socket) => {
      socket.write(answerOf(isLoose ? ['Content-Length: 5', 'Content-Length: 5'] : ['Content-Length: 5'], 'abcde'));
    });
    const clock = new FakeClock();
    await using sender = lenientSenderFor('pool', server.url, clock);
    await outcomeOf(sender, server.url);
    isLoose = false;
    await outcomeOf(sender, server.url);
    const { connections } = server;
    await clock.advance(3_600_000);
    for (let i = 0; i < 3; i++) expect(await outcomeOf(sender, server.url)).toBe('200 abcde');
    expect(server.connections).toBe(connections + 1);
  });

  it('is asked once where the request must not be sent twice', async () => {
    await using server = await serveRaw((socket) => {
      socket.write(answerOf(['Content-Length: 5', 'Content-Length: 5'], 'abcde'));
    });
    await using sender = lenientSenderFor('pool', server.url);
    const post = get('/token', server.url, { method: 'POST', body: '' });
    await expect(sender.send(post, never)).rejects.toMatchObject({ kind: 'badResponse' });
    expect(server.seen).toHaveLength(1);
    // HEAD tells; then the same is read.
    const head = await sender.send(get('/', server.url, { method: 'HEAD' }), never);
    expect([head.status, head.headers['content-length']]).toEqual([200, '5']);
    expect(String(await bytesOf(await sender.send(post, never)))).toBe('abcde');
    expect(server.seen.map(({ method }) => method)).toEqual(['POST', 'HEAD', 'HEAD', 'POST']);
  });
});

describe('a head in order', () => {
  const worker = fc.oneof(
    fc.constantFrom('Content-Length: 5', 'content-length:5 ', 'Content-Length: 6', 'Transfer-Encoding: chunked'),
    fc.constantFrom('Transfer-Encoding: gzip', 'X-Content-Length: 7', ' folded', 'Content-Length : 5'),
    fc.stringMatching(/^[A-Za-z-]{1,8}: [ -~]{0,12}$/),
  );

  it('says one thing about its body, keeps all other lines, and needs nothing more', () => {
    let changed = 0;
    fc.assert(
      fc.property(fc.array(worker, { maxLength: 6 }), (lines) => {
        const head = `HTTP/1.1 200 OK\r\n${lines.map((text) => `${text}\r\n`).join('')}\r\n`;
        const ordered = inOrder(head);
        if (ordered === undefined) return;
        changed++;
        const got = ordered.split('\r\n');
        const about = (text: string): boolean => /^content-length:/i.test(text);
        expect(got.filter((text) => !about(text))).toEqual(head.split('\r\n').filter((text) => !about(text)));
        const isChunked = got.some((text) => /^transfer-encoding:/i.test(text));
        const length = lines.includes('Content-Length: 6') ? 6 : 5;
        expect(got.filter(about)).toEqual(isChunked ? [] : [`Content-Length: ${length}`]);
        expect(inOrder(ordered)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
    expect(changed).toBeGreaterThan(100);
  });
});
