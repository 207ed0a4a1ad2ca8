import { describe, expect, it } from 'vitest';
import { maxSimpleHeadLength, parseSimpleHead } from '../../../src/http/hot/simple-head.ts';
import { growth, stretchMeter } from '../../support/cost.ts';

describe('parseSimpleHead', () => {
  const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
  const first = 'GET /v2/a/manifests/1 HTTP/1.1';

  it('reads the plainest requests', () => {
    expect(
      parseSimpleHead(head(first, 'Host: a:5000', 'USER-AGENT: x y', 'accept: */*', 'Connection: Keep-Alive')),
    ).toEqual({
      method: 'GET',
      target: '/v2/a/manifests/1',
      host: 'a:5000',
      userAgent: 'x y',
    });
  });

  it.each([
    ['no Host', head(first)],
    ['two Hosts', head(first, 'Host: a', 'Host: a')],
    ['an empty Host', head(first, 'Host: ')],
    ['a malformed Host', head(first, 'Host: a b')],
    ['a body', head(first, 'Host: a', 'Content-Length: 0')],
    ['a transfer coding', head(first, 'Host: a', 'Transfer-Encoding: chunked')],
    ['a range', head(first, 'Host: a', 'Range: bytes=0-1')],
    ['a condition', head(first, 'Host: a', 'If-None-Match: *')],
    ['credentials', head(first, 'Host: a', 'Authorization: Bearer x')],
    ['an id', head(first, 'Host: a', 'X-Request-Id: x')],
    ['close', head(first, 'Host: a', 'Connection: close')],
    ['an upgrade', head(first, 'Host: a', 'Connection: keep-alive, Upgrade')],
    ['an unknown header', head(first, 'Host: a', 'X: y')],
    ['folding', head(first, 'Host: a', ' b')],
    ['space before the colon', head(first, 'Host : a')],
    ['a bare LF', `${first}\nHost: a\n\n`],
    ['a tab', head(first, 'Host:\ta')],
    ['NUL', head(first, 'Host: a', 'Accept: \0')],
    ['latin1', head(first, 'Host: a', 'Accept: \u00e9')],
    ['HTTP/1.0', head('GET /v2/a/manifests/1 HTTP/1.0', 'Host: a')],
    ['another method', head('PUT /v2/a/manifests/1 HTTP/1.1', 'Host: a')],
    ['lower case', head('get /v2/a/manifests/1 HTTP/1.1', 'Host: a')],
    ['another path', head('GET / HTTP/1.1', 'Host: a')],
    ['absolute form', head('GET http://a/v2/a/manifests/1 HTTP/1.1', 'Host: a')],
    ['two spaces', head('GET  /v2/a/manifests/1 HTTP/1.1', 'Host: a')],
    ['two requests', head(first, 'Host: a') + head(first, 'Host: a')],
    ['something behind', `${head(first, 'Host: a')}x`],
    ['great length', head(first, 'Host: a', `Accept: ${'x'.repeat(3000)}`)],
  ])('leaves %s to node:http', (_, text) => {
    expect(parseSimpleHead(text)).toBeUndefined();
  });

  const pumped: readonly (readonly [string, (lines: number) => string])[] = [
    ['blanks behind each colon', (n) => head(first, ...Array<string>(n).fill('a:  '), 'x_y: z')],
    ['one blank behind each colon', (n) => head(first, ...Array<string>(n).fill('dnt: 1'), 'x_y: z')],
    ['colons', (n) => head(first, ...Array<string>(n).fill('a:::'), 'x\ty')],
    ['nothing but a colon', (n) => head(first, ...Array<string>(n).fill('a:'), '')],
    ['a long value that ends badly', (n) => head(first, `a: ${'  b'.repeat(n)}\u00e9`)],
    ['a long name without a colon', (n) => head(first, 'a'.repeat(4 * n))],
    ['a long target', (n) => head(`GET /v2/${'/v2/'.repeat(n)} HTTP/1.1 HTTP/1.1`, 'Host: a')],
    ['a good head', (n) => head(first, 'Host: a', ...Array<string>(n).fill('Accept: a'))],
  ];

  it.each(pumped)('costs as much as the head is long: %s', (_, make) => {
    expect(make(128).length).toBeLessThanOrEqual(maxSimpleHeadLength);
    expect(growth({ from: 4, to: 128, meter: stretchMeter }, make, parseSimpleHead).ratio).toBeLessThan(3);
  });
});
