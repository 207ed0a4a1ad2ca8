import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  durationPattern,
  formatDuration,
  formatSize,
  parseDuration,
  parsePercent,
  parseSize,
  parseSizeOrPercent,
  percentPattern,
  sizePattern,
} from '../../../src/config/values/units.ts';

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['1048576', 1_048_576],
    ['7B', 7],
    ['1kB', 1000],
    ['1KB', 1000],
    ['500MB', 500_000_000],
    ['10GiB', 10 * 1024 ** 3],
    ['1.5GiB', 1.5 * 1024 ** 3],
    ['0.001kB', 1],
    ['2TB', 2e12],
    ['7PiB', 7 * 1024 ** 5],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toEqual({ value: bytes });
    expect(text).toMatch(new RegExp(sizePattern));
  });

  it.each([
    '',
    ' 1',
    '1 GiB',
    '-1',
    '+1',
    '1e3',
    '0x10',
    '1,5GB',
    '.5GB',
    '5.GB',
    '1.2345GB',
    'GiB',
    '10gallons',
    '１GB',
    '5%',
  ])('refuses %j and says what to write', (text) => {
    expect(parseSize(text)).toEqual({ problem: expect.stringContaining('10GiB') });
  });

  it.each(['10G', '10Gi', '10gb', '10g', '10GIB'])('refuses %s and names both meanings', (text) => {
    expect(parseSize(text)).toEqual({ problem: 'write 10GB (powers of 1000) or 10GiB (powers of 1024)' });
  });

  it('refuses parts of bytes and what a number cannot hold exactly', () => {
    expect(parseSize('1.5B')).toEqual({ problem: expect.stringContaining('whole bytes') });
    expect(parseSize('8PiB')).toEqual({ problem: expect.stringContaining('8PiB') });
    expect(parseSize('99999999999999999999')).toEqual({ problem: expect.stringContaining('8PiB') });
    expect(parseSize(String(Number.MAX_SAFE_INTEGER))).toEqual({ value: Number.MAX_SAFE_INTEGER });
  });

  it('every number of bytes survives being written and read', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.constantFrom(1, 1000, 1024, 1e6, 1024 ** 2, 1e9, 1024 ** 3), (n, factor) => {
        const bytes = (n % Math.floor(Number.MAX_SAFE_INTEGER / factor)) * factor;
        const text = formatSize(bytes);
        expect(parseSize(text)).toEqual({ value: bytes });
        expect(text).toMatch(new RegExp(sizePattern));
      }),
    );
  });

  it('no text is anything but a whole number of bytes or a problem', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{1,25}(\.[0-9]{1,4})?[kKMGTPiB]{0,4}$/)), (text) => {
        const parsed = parseSize(text);
        if ('problem' in parsed) expect(parsed.problem).not.toBe('');
        else expect(Number.isSafeInteger(parsed.value) && parsed.value >= 0).toBe(true);
      }),
    );
  });
});

describe('shares', () => {
  it.each([
    ['0%', 0],
    ['5%', 5],
    ['2.25%', 2.25],
    ['99.99%', 99.99],
  ])('%s is a share', (text, percent) => {
    expect(parsePercent(text)).toEqual({ value: percent });
    expect(parseSizeOrPercent(text)).toEqual({ value: { kind: 'percent', percent } });
    expect(text).toMatch(new RegExp(percentPattern));
  });

  it.each(['100%', '101%', '100.01%', '-1%', '%', '5 %', '5%%', '1.234%', '1e1%'])('refuses %s', (text) => {
    expect(parsePercent(text)).toEqual({ problem: expect.stringContaining('100%') });
    expect(parseSizeOrPercent(text)).toHaveProperty('problem');
  });

  it('a size stays a size where a share is allowed too', () => {
    expect(parseSizeOrPercent('1MiB')).toEqual({ value: { kind: 'bytes', bytes: 1_048_576 } });
    expect(parseSizeOrPercent('x')).toEqual({ problem: expect.stringContaining('5%') });
  });
});

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['0s', 0],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['30d', 2_592_000_000],
  ])('%s is %d milliseconds', (text, durationMs) => {
    expect(parseDuration(text)).toEqual({ value: durationMs });
    expect(text).toMatch(new RegExp(durationPattern));
  });

  it.each(['', '0', '5', '5 m', '1.5h', '1h30m', '-1s', '5M', '5min', '1w', 'P1D', '1e3s'])(
    'refuses %j and says what to write',
    (text) => {
      expect(parseDuration(text)).toEqual({ problem: expect.stringContaining('30d') });
    },
  );

  it('has an end', () => {
    expect(parseDuration('36500d')).toHaveProperty('value');
    expect(parseDuration('36501d')).toEqual({ problem: expect.stringContaining('36500d') });
    expect(parseDuration('999999999999999d')).toEqual({ problem: expect.stringContaining('36500d') });
  });

  it('every number of milliseconds survives being written and read', () => {
    fc.assert(
      fc.property(fc.nat({ max: 36_500 }), fc.constantFrom(1, 1000, 60_000, 3_600_000, 86_400_000), (n, factor) => {
        const text = formatDuration(n * factor);
        expect(parseDuration(text)).toEqual({ value: n * factor });
      }),
    );
  });
});
