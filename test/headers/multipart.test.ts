import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { multipart } from '../../src/headers/multipart.ts';

describe('multipart/byteranges', () => {
  it('looks as RFC 9110 shows it', () => {
    const frame = multipart(
      [
        { start: 0, end: 2 },
        { start: 5, end: 9 },
      ],
      10,
      'application/octet-stream',
    );
    const [, boundary = ''] = /^multipart\/byteranges; boundary=([A-Za-z0-9]+)$/.exec(frame.contentType) ?? [];
    expect(boundary.length).toBeGreaterThanOrEqual(16);
    expect(boundary.length).toBeLessThanOrEqual(70);
    const text = `${frame.partHead(0)}ab${frame.partHead(1)}cdef${frame.tail}`;
    expect(text).toBe(
      [
        `--${boundary}`,
        'Content-Range: bytes 0-1/10',
        'Content-Type: application/octet-stream',
        '',
        'ab',
        `--${boundary}`,
        'Content-Range: bytes 5-8/10',
        'Content-Type: application/octet-stream',
        '',
        'cdef',
        `--${boundary}--`,
        '',
      ].join('\r\n'),
    );
    expect(frame.contentLength).toBe(text.length);
  });

  it('announces exactly the length of what is sent, for any spans', () => {
    const span = fc
      .tuple(fc.nat(2 ** 40), fc.integer({ min: 1, max: 2 ** 30 }))
      .map(([start, length]) => ({ start, end: start + length }));
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 50 }), (spans) => {
        const frame = multipart(spans, 2 ** 42, 'application/octet-stream');
        const framing = spans.reduce((sum, _, index) => sum + frame.partHead(index).length, frame.tail.length);
        const content = spans.reduce((sum, { start, end }) => sum + end - start, 0);
        expect(frame.contentLength).toBe(framing + content);
      }),
    );
  });

  it('uses another boundary each time', () => {
    const types = Array.from({ length: 20 }, () => multipart([{ start: 0, end: 1 }], 2, 'a/b').contentType);
    expect(new Set(types).size).toBe(20);
  });
});
