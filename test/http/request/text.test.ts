import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escaped, readable } from '../../../src/http/request/text.ts';

describe('text of others', () => {
  it('is escaped where it could pass for another line or turn the writing around', () => {
    expect(escaped('curl/8.0\r\n{"level":"error"}\u001b[2J')).toBe('curl/8.0\\u000d\\u000a{"level":"error"}\\u001b[2J');
    expect(escaped('a\u2028b\u202ec')).toBe('a\\u2028b\\u202ec');
    expect(escaped('containerd/v2.3.0 é')).toBe('containerd/v2.3.0 é');
  });

  it('never keeps a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escaped(text)).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
        expect(readable(text)).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
        expect(readable(text).length).toBeLessThanOrEqual(601);
      }),
    );
  });

  it('loses credentials and queries of URLs', () => {
    expect(readable('see http://a:b@host/p?token=1, and https://h/x#y')).toBe('see http://host/p and https://h/x');
  });

  it('stays quick on adversarial text', () => {
    const startedMs = performance.now();
    readable('https://'.repeat(50_000));
    readable(`https://${'a@'.repeat(50_000)}`);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });
});
