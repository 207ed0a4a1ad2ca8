/**
 * How a scripted upstream departs from being a correct registry. Each function below is one line of a test's script, and
 * several of them combine: `upstream.on({ kind: 'blob' }, delay(20), cut(1000, 'rst'))`.
 */
import type { Gate } from '../gate.ts';
import type { RecordedRequest } from './request.ts';
import { RateLimit } from './rate-limit.ts';

/**
 * A place in an answer: a number of body bytes (negative: from the end), or a phase. `status` is in the middle of the
 * status line, `headers` in the middle of the headers, `body-end` after the last body byte and before what ends a chunked
 * body.
 */
export type Place = number | 'before' | 'status' | 'headers' | 'body-end';

/** What happens at a place: an orderly close, a reset, silence for ever, or waiting for a gate. */
export type Action = 'fin' | 'rst' | 'stall' | Gate;

export interface Point {
  readonly at: Place;
  readonly action: Action;
}

export type Framing = 'length' | 'chunked' | 'close' | 'close-1.0' | 'none';

export type RangeAnswer =
  | 'honour'
  | 'ignore'
  /** An error status for any request with a Range header. */
  | 400
  | 403
  | 404
  | 416
  | 500
  | 501
  /** 206, but the Content-Range (and the bytes) lie this much further on. */
  | { readonly shift: number }
  /** 206 with another total size in the Content-Range. */
  | { readonly total: number | '*' };

export interface Behaviour {
  readonly delayMs?: number;
  readonly status?: number;
  /** Added or replaced; undefined takes a header away; a list sends several lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Instead of the right body. */
  readonly body?: Uint8Array | string | ((request: RecordedRequest) => Uint8Array | string);
  /** Applied to the body that would be sent. */
  readonly damage?: (correct: Uint8Array) => Uint8Array;
  /** One bit of the object (not of the part that is asked for) is wrong at this offset; negative: from the end. */
  readonly flip?: number;
  /** What Content-Length says instead of the truth. */
  readonly declaredLength?: number | string;
  readonly framing?: Framing;
  readonly range?: RangeAnswer;
  readonly redirect?: { readonly status: number; readonly to: string | ((request: RecordedRequest) => string) };
  readonly encode?: 'gzip' | 'br';
  readonly rate?: RateLimit | (() => RateLimit);
  readonly points?: readonly Point[];
  /** Sent instead of any answer, then the connection closes. */
  readonly raw?: Uint8Array | string;
  /** Sent after the answer, as a server does that has lost count. */
  readonly trailing?: Uint8Array | string;
  /** Close the connection after the answer, which says so (`Connection: close`) unless silently. */
  readonly last?: 'announced' | 'silent';
}

/** Combines behaviours: later ones win, points add up, headers are merged. */
export function combine(behaviours: readonly Behaviour[]): Behaviour {
  return behaviours.reduce<Behaviour>(
    (all, next) => ({
      ...all,
      ...next,
      headers: { ...all.headers, ...next.headers },
      points: [...(all.points ?? []), ...(next.points ?? [])],
    }),
    {},
  );
}

/** A round trip: the answer starts this many real milliseconds after the request. */
export const delay = (delayMs: number): Behaviour => ({ delayMs });

/** Another status, with an OCI error as its body unless one is given, and without the headers of the right answer. */
export function answer(status: number, options: Pick<Behaviour, 'headers' | 'body'> = {}): Behaviour {
  const body = options.body ?? JSON.stringify({ errors: [{ code: 'UNKNOWN', message: `scripted ${status}` }] });
  const plain = { 'Content-Type': 'application/json', 'Docker-Content-Digest': undefined, ETag: undefined };
  return {
    status,
    headers: { ...plain, ...options.headers },
    body: status === 204 || status === 304 ? '' : body,
    range: 'ignore',
  };
}

/** A JSON document with status 200, for tokens and lists that are made up. */
export const json = (document: unknown, status = 200): Behaviour => ({
  status,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(document),
});

export const html = (status = 200): Behaviour => ({
  status,
  headers: { 'Content-Type': 'text/html', 'Docker-Content-Digest': undefined, ETag: undefined },
  body: '<!doctype html><title>Sign in to the hotel network</title>',
  range: 'ignore',
});

/** Headers to add or replace; undefined takes one away. */
export const headers = (set: NonNullable<Behaviour['headers']>): Behaviour => ({ headers: set });

/** Ends the connection at a place. What was sent before a reset may be lost on its way. */
export const cut = (at: Place, how: 'fin' | 'rst' = 'fin'): Behaviour => ({ points: [{ at, action: how }] });

/** Says nothing more from that place on, with the connection open. */
export const stall = (at: Place): Behaviour => ({ points: [{ at, action: 'stall' }] });

/** Waits for a gate at a place. */
export const hold = (at: Place, gate: Gate): Behaviour => ({ points: [{ at, action: gate }] });

/** Real bytes per second for each answer. */
export const rate = (bytesPerSecond: number): Behaviour => ({ rate: () => new RateLimit(bytesPerSecond) });

/** One limit for all answers that have it. */
export const shared = (limit: RateLimit): Behaviour => ({ rate: limit });

/** A few bytes at a time: one every `everyMs`. */
export const drip = (everyMs: number): Behaviour => ({ rate: () => new RateLimit(1000 / everyMs, 1) });

export const framing = (how: Framing): Behaviour => ({ framing: how });

/** Content-Length says this whatever the body is. */
export const declare = (length: number | string): Behaviour => ({ declaredLength: length });

/** One wrong bit at this offset of the object, in full and in partial answers alike. */
export const flip = (offset: number): Behaviour => ({ flip: offset });

export const body = (bytes: NonNullable<Behaviour['body']>): Behaviour => ({ body: bytes });

/** Any change of the body that would be sent; the declared length follows unless `declare` says otherwise. */
export const damage = (change: (correct: Uint8Array) => Uint8Array): Behaviour => ({ damage: change });

/** The connection closes after the answer; `silent`: without having said so. */
export const last = (how: 'announced' | 'silent' = 'announced'): Behaviour => ({ last: how });

/** Bytes after the answer that nobody asked for. */
export const trailing = (bytes: Uint8Array | string): Behaviour => ({ trailing: bytes });

export const range = (how: RangeAnswer): Behaviour => ({ range: how });

export const redirect = (to: string | ((request: RecordedRequest) => string), status = 307): Behaviour => ({
  redirect: { to, status },
});

export const encode = (how: 'gzip' | 'br'): Behaviour => ({ encode: how });

export const raw = (bytes: Uint8Array | string): Behaviour => ({ raw: bytes });
