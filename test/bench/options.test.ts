import { describe, expect, it } from 'vitest';
import { parseOptions, UsageError } from '../../bench/options.ts';
import { parseWrk } from '../../bench/support/client.ts';

const peers = ['weir', 'nginx'];

describe('the command line of the benchmarks', () => {
  it('writes a full run only, unless it is told to', () => {
    const isWritten = (...args: readonly string[]): boolean => parseOptions(args, peers).isWritten;
    expect(isWritten()).toBe(true);
    expect(isWritten('--quick')).toBe(false);
    expect(isWritten('--only', 'cold')).toBe(false);
    expect(isWritten('--quick', '--write')).toBe(true);
  });

  it('takes lists with commas and repeated', () => {
    const { only, also } = parseOptions(['--only', 'a,b', '--only', 'c', '--also', 'before=/dist/main.js'], peers);
    expect(only).toEqual(['a', 'b', 'c']);
    expect(also).toEqual([['before', '/dist/main.js']]);
  });

  it.each([
    ['--qiuck'],
    ['--runs', '0'],
    ['--runs', 'many'],
    ['--peers', 'quay'],
    ['--also', 'weir=/x'],
    ['--also', 'x'],
    ['word'],
  ])('refuses %s %s', (...args) => {
    expect(() => parseOptions(args, peers)).toThrow(UsageError);
  });
});

describe('the output of wrk', () => {
  const text = `Running 2s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Latency Distribution
     50%  838.00us
     75%    1.20ms
     90%    2.10ms
     99%   10.25ms
  100211 requests in 2.00s, 180.11MB read
Requests/sec:  50101.32
Transfer/sec:     90.05MB
`;

  it('is read in milliseconds', () => {
    expect(parseWrk(text)).toEqual({ perSecond: 50_101.32, p50Ms: 0.838, p99Ms: 10.25 });
  });

  it('gives no number when any answer was an error', () => {
    expect(() => parseWrk(`${text}  Non-2xx or 3xx responses: 3\n`)).toThrow('Non-2xx');
    expect(() => parseWrk(`${text}  Socket errors: connect 0, read 1, write 0, timeout 0\n`)).toThrow('Socket errors');
  });
});
