import { describe, expect, it } from 'vitest';
import { BrokenBodyError, CacheError, type CacheErrorKind } from '../../../src/fill/contract/errors.ts';
import { RememberedRefusal } from '../../../src/cache/freshness/negative-cache.ts';
import { remoteErrors } from '../../../src/cache/threads/errors.ts';
import { outcomeOfFailure, type Subject, toErrorAnswer } from '../../../src/http/request/errors.ts';
import { OciError } from '../../../src/oci/errors.ts';
import { StoreError, type StoreErrorKind } from '../../../src/store/contract/blob-store.ts';
import { UpstreamError, type UpstreamErrorKind } from '../../../src/upstream/contract/errors.ts';

type Expected = readonly [status: number, code: string, retryAfter?: string];

const upstreamTable: Readonly<Record<Exclude<UpstreamErrorKind, 'notFound'>, Expected>> = {
  denied: [403, 'DENIED'],
  credentialRefused: [502, 'UNAVAILABLE'],
  rateLimited: [429, 'TOOMANYREQUESTS', '5'],
  unreachable: [502, 'UNAVAILABLE'],
  tls: [502, 'UNAVAILABLE'],
  timeout: [504, 'UNAVAILABLE'],
  serverError: [502, 'UNAVAILABLE'],
  badResponse: [502, 'UNKNOWN'],
  tooLarge: [502, 'UNKNOWN'],
  rangeRefused: [502, 'UNKNOWN'],
  redirectRefused: [502, 'UNKNOWN'],
  unsupported: [404, 'UNSUPPORTED'],
  breakerOpen: [503, 'UNAVAILABLE', '5'],
  offline: [503, 'UNAVAILABLE'],
  exhausted: [503, 'UNAVAILABLE', '5'],
  cut: [502, 'UNKNOWN'],
  preempted: [503, 'UNAVAILABLE', '5'],
  aborted: [503, 'UNAVAILABLE', '5'],
};

const cacheTable: Readonly<Record<CacheErrorKind, Expected>> = {
  blobUnknown: [404, 'BLOB_UNKNOWN'],
  manifestUnknown: [404, 'MANIFEST_UNKNOWN'],
  nameUnknown: [404, 'NAME_UNKNOWN'],
  denied: [403, 'DENIED'],
  mismatch: [502, 'UNKNOWN'],
  noLength: [503, 'UNAVAILABLE', '5'],
  shuttingDown: [503, 'UNAVAILABLE', '5'],
};

const storeTable: Readonly<Record<StoreErrorKind, readonly [...Expected, isUnexpected: boolean]>> = {
  full: [503, 'UNAVAILABLE', undefined, true],
  sick: [503, 'UNAVAILABLE', undefined, true],
  mismatch: [502, 'UNKNOWN', undefined, false],
  tooLarge: [502, 'UNKNOWN', undefined, false],
  locked: [500, 'UNKNOWN', undefined, true],
  layout: [500, 'UNKNOWN', undefined, true],
};

function keys<K extends string>(table: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(table) as K[];
}

describe('the table of errors', () => {
  it.each(keys(upstreamTable))('upstream error %s', (kind) => {
    const [status, code, retryAfter] = upstreamTable[kind];
    const error = new UpstreamError(kind, 'connection refused', { upstream: 'ghcr.io' });
    const answer = toErrorAnswer(error, 'blob', 'id');
    expect([answer.status, answer.code, answer.headers['Retry-After']]).toEqual([status, code, retryAfter]);
    expect(answer.message).toMatch(/^upstream ghcr\.io: [a-z :]+$/i);
    expect(answer.isUnexpected).toBe(false);
  });

  it.each(keys(cacheTable))('cache error %s', (kind) => {
    const [status, code, retryAfter] = cacheTable[kind];
    const answer = toErrorAnswer(new CacheError(kind, 'lab', 'because'), 'blob', 'id');
    expect([answer.status, answer.code, answer.headers['Retry-After']]).toEqual([status, code, retryAfter]);
    expect(answer.message).toBe('upstream lab: because');
  });

  it.each(keys(storeTable))('store error %s', (kind) => {
    const [status, code, , isUnexpected] = storeTable[kind];
    const answer = toErrorAnswer(new StoreError(kind, 'EIO: /secret/path'), 'blob', 'id-7');
    expect([answer.status, answer.code, answer.isUnexpected]).toEqual([status, code, isUnexpected]);
    expect(answer.message).not.toContain('/secret/path');
  });

  it.each<[Subject, string | undefined, string]>([
    ['manifest', undefined, 'MANIFEST_UNKNOWN'],
    ['manifest', 'NAME_UNKNOWN', 'NAME_UNKNOWN'],
    ['manifest', 'BLOB_UNKNOWN', 'MANIFEST_UNKNOWN'],
    ['blob', undefined, 'BLOB_UNKNOWN'],
    ['blob', 'NAME_UNKNOWN', 'NAME_UNKNOWN'],
    ['blob', 'SOMETHING', 'BLOB_UNKNOWN'],
    ['tags', undefined, 'NAME_UNKNOWN'],
    ['tags', 'MANIFEST_UNKNOWN', 'NAME_UNKNOWN'],
    ['referrers', undefined, 'UNSUPPORTED'],
    ['referrers', 'NAME_UNKNOWN', 'UNSUPPORTED'],
  ])('a 404 of the upstream about %s with code %s is %s', (subject, code, expected) => {
    const details = { upstream: 'lab', ...(code === undefined ? {} : { code }) };
    const answer = toErrorAnswer(new UpstreamError('notFound', 'unknown', details), subject, 'id');
    expect([answer.status, answer.code]).toEqual([404, expected]);
  });

  it('no error of an upstream becomes a challenge of ours, and only its limit one', () => {
    for (const kind of keys(upstreamTable)) {
      const { status } = toErrorAnswer(new UpstreamError(kind, 'x', { upstream: 'lab' }), 'manifest', 'id');
      expect(status).not.toBe(401);
      expect(status === 429).toBe(kind === 'rateLimited');
    }
  });

  it('Retry-After is what the upstream asked for, in whole seconds and at least one', () => {
    const after = (retryAfterMs: number): string | undefined =>
      toErrorAnswer(new UpstreamError('rateLimited', 'x', { upstream: 'lab', retryAfterMs }), 'blob', 'id').headers[
        'Retry-After'
      ];
    expect([after(0), after(1), after(1500), after(60_000)]).toEqual(['1', '1', '2', '60']);
  });

  it('an OciError answers as it says', () => {
    const error = new OciError('RANGE_INVALID', { detail: { a: 1 }, headers: { 'Content-Range': 'bytes */5' } });
    expect(toErrorAnswer(error, 'blob', 'id')).toEqual({
      status: 416,
      code: 'RANGE_INVALID',
      message: 'invalid content range',
      detail: { a: 1 },
      headers: { 'Content-Range': 'bytes */5' },
      isUnexpected: false,
    });
  });

  it('a broken body before a head is explained by its cause', () => {
    const cause = new UpstreamError('timeout', 'no bytes for 60 s', { upstream: 'lab' });
    expect(toErrorAnswer(new BrokenBodyError('broken', { cause }), 'blob', 'id').status).toBe(504);
    expect(toErrorAnswer(new BrokenBodyError('broken'), 'blob', 'id')).toMatchObject({ status: 502, code: 'UNKNOWN' });
  });

  it('an unknown error tells the client nothing but the request id', () => {
    for (const error of [new TypeError('x is not a function'), 'text', undefined, null, { status: 200 }]) {
      const answer = toErrorAnswer(error, 'manifest', 'req-1');
      expect(answer).toMatchObject({ status: 500, code: 'UNKNOWN', isUnexpected: true });
      expect(answer.message).toBe('internal error, see the log for request req-1');
    }
  });

  it('messages are one line without credentials or signed queries', () => {
    const message = 'GET https://user:secret@cdn.example/a?X-Amz-Signature=abc failed\r\n\u001b[31mINFO fake';
    const answer = toErrorAnswer(new CacheError('mismatch', 'lab', message), 'blob', 'id');
    expect(answer.message).toBe('upstream lab: GET https://cdn.example/a failed [31mINFO fake');
  });

  it('an upstream that is named already is not named twice', () => {
    const error = new CacheError('mismatch', 'ghcr.io', 'ghcr.io sent something else');
    expect(toErrorAnswer(error, 'blob', 'id').message).toBe('ghcr.io sent something else');
  });

  it.each(keys(upstreamTable))('%s says what happened, and neither where nor on which path', (kind) => {
    const inner = Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:5000'), { code: 'ECONNREFUSED' });
    const message = 'https://mirror.internal:5000/v2/team/app: open /var/lib/weir/blobs: connect 10.1.2.3';
    const error = new UpstreamError(kind, message, {
      upstream: 'lab',
      status: 500,
      cause: new Error('x', { cause: inner }),
    });
    for (const answered of [error, remoteErrors.decode(remoteErrors.encode(error)), new RememberedRefusal(error)]) {
      const text = toErrorAnswer(answered, 'blob', 'id').message;
      expect(text).toMatch(/^upstream lab: [a-z :]+ \(500, ECONNREFUSED\)$/i);
      expect(text).not.toMatch(/internal|10\.1|\/|https/);
    }
  });

  it('a code that is no word of the system is not told', () => {
    const cause = Object.assign(new Error('x'), { code: 'open /var/lib' });
    const error = new UpstreamError('unreachable', 'x', { upstream: 'lab', cause });
    expect(toErrorAnswer(error, 'blob', 'id').message).toBe('upstream lab: it cannot be reached');
  });
});

describe('what Cache-Status says about a failure', () => {
  const upstream = (kind: UpstreamErrorKind): UpstreamError => new UpstreamError(kind, 'x', { upstream: 'ghcr.io' });
  it.each([
    ['an answer or outage of the upstream is a miss', upstream('notFound'), { kind: 'miss' }],
    ['offline says so', upstream('offline'), { kind: 'miss', detail: 'offline' }],
    ['a remembered 404 says so', new RememberedRefusal(upstream('notFound')), { kind: 'hit', detail: 'negative' }],
    ['other bytes than asked for', new CacheError('mismatch', 'ghcr.io', 'x'), { kind: 'miss' }],
    [
      'a broken body by its cause',
      new BrokenBodyError('x', { cause: upstream('offline') }),
      { kind: 'miss', detail: 'offline' },
    ],
    ['nothing when the cache was not asked', new OciError('NAME_INVALID', { message: 'x' }), undefined],
    ['nothing without an upstream', new CacheError('nameUnknown', '', 'x'), undefined],
  ])('%s', (_, error, outcome) => {
    expect(outcomeOfFailure(error)).toEqual(outcome);
  });
});
