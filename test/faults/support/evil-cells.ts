/**
 * One cell of the evil-upstream matrix: one way in which an upstream misbehaves, met by one kind of request. Every cell has
 * an upstream entry, a repository and content of its own, so that breakers, negative answers and shared bytes of one cell
 * say nothing about another.
 */
import { createHash } from 'node:crypto';
import { randomBytesOf } from '../../support/byte-source.ts';
import { buildImage } from '../../support/image-builder.ts';
import { NoResponseError, type RawResponse, rawFetch } from '../../support/raw-client.ts';
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import type { Behaviour } from '../../support/upstream/behaviour.ts';
import type { RuleOptions } from '../../support/upstream/rules.ts';

/**
 * `blob` is so large that its head goes out before it is proved, `small` so small that it does not; `head` is a HEAD of a
 * large blob, `range` an open-ended range from its first byte (the last byte of such a 206 waits for the proof), `middle` a
 * short one that does not wait.
 */
export const columns = ['blob', 'small', 'head', 'range', 'middle', 'tag', 'digest'] as const;
export type Column = (typeof columns)[number];

/** What the script of a cell may be about. */
export interface Subject {
  /** Bytes of the object that is asked for. */
  readonly size: number;
  readonly digest: string;
  readonly repository: string;
  /** Where another machine listens, which must never see a credential. */
  readonly thief: string;
  readonly upstream: string;
}

export type Rule = readonly (Behaviour | RuleOptions)[];

export interface Misbehaviour {
  readonly name: string;
  /** Rules for the scripted upstream; while several apply, the last one wins. */
  readonly rules: (subject: Subject) => readonly Rule[];
  /**
   * What clients see, one word for each column in order: `right` (complete and byte-exact), `broken` (a good head, and a
   * body that does not end cleanly; or a 502, where the failure is there before the head has left), `unproved` (a
   * complete 206 marked so, whose bytes are wrong), `claim` (a HEAD that repeats a wrong size), `unsized` (a HEAD without
   * one), a status with an OCI error body, `-` for no cell, `a|b` for either.
   */
  readonly expect: string;
}

export interface Cell extends Subject {
  readonly id: string;
  readonly column: Column;
  readonly misbehaviour: Misbehaviour;
  /** Any of these. */
  readonly expected: readonly string[];
  /** Key of the upstream entry. */
  readonly key: string;
  readonly bytes: Buffer;
  readonly path: string;
}

const largeBytes = 200_000;
const smallBytes = 5_000;
const ranges = {
  range: { header: 'bytes=0-', span: [0, largeBytes] },
  middle: { header: 'bytes=100000-100999', span: [100_000, 101_000] },
} as const;

export function cellsOf(
  misbehaviours: readonly Misbehaviour[],
  upstream: ScriptedUpstream,
  thief: string,
): readonly Cell[] {
  return misbehaviours.flatMap((misbehaviour, row) => {
    const words = misbehaviour.expect.trim().split(/\s+/);
    if (words.length !== columns.length) throw new Error(`${misbehaviour.name}: ${words.length} words`);
    return columns.flatMap((column, index) => {
      const word = words[index] ?? '-';
      return word === '-' ? [] : [cellOf(misbehaviour, `c${row}-${column}`, column, word, upstream, thief)];
    });
  });
}

function cellOf(
  misbehaviour: Misbehaviour,
  id: string,
  column: Column,
  word: string,
  upstream: ScriptedUpstream,
  thief: string,
): Cell {
  const repository = `team/${id}`;
  const { content } = upstream;
  const isManifest = column === 'tag' || column === 'digest';
  const image = buildImage({ seed: `evil ${id}` });
  const bytes = isManifest ? image.bytes : randomBytesOf(column === 'small' ? smallBytes : largeBytes, `evil ${id}`);
  let digest: string;
  if (isManifest) {
    digest = content.addManifest(repository, bytes, image.mediaType);
    content.tag(repository, 'latest', digest);
  } else digest = content.addBlob(repository, bytes);
  const place = isManifest ? `manifests/${column === 'tag' ? 'latest' : digest}` : `blobs/${digest}`;
  const subject = { size: bytes.length, digest, repository, thief, upstream: upstream.url };
  for (const rule of misbehaviour.rules(subject)) upstream.on({ repository }, ...rule);
  const path = `/v2/${id}/${repository}/${place}`;
  const words = word.split('|');
  const expected = words.includes('broken') ? [...words, '502'] : words;
  return { ...subject, id, key: id, column, misbehaviour, expected, bytes, path };
}

export interface Seen {
  /** A word of `Misbehaviour.expect`, or `WRONG: …` for what must never be. */
  readonly verdict: string;
  readonly response: RawResponse | undefined;
}

/** Asks weir once, and says what a client makes of the answer. */
export async function ask(cell: Cell, url: string, column: Column = cell.column): Promise<Seen> {
  const range = column === 'range' || column === 'middle' ? ranges[column] : undefined;
  const headers = range === undefined ? {} : { Range: range.header };
  const method = column === 'head' ? 'HEAD' : 'GET';
  let response: RawResponse;
  try {
    response = await rawFetch(`${url}${cell.path}`, { method, headers, timeoutMs: 120_000 });
  } catch (error) {
    // A reset may overtake the head that was sent before it. An orderly end without an answer is none.
    if (error instanceof NoResponseError)
      return { verdict: error.reset ? 'broken' : 'WRONG: no answer', response: undefined };
    throw error;
  }
  return { verdict: judge(cell, response, method, range?.span), response };
}

function judge(cell: Cell, response: RawResponse, method: string, span: readonly [number, number] | undefined): string {
  const { status, headers, body, cleanEnd } = response;
  const strangers = Object.keys(headers).filter((name) => !known.has(name));
  if (strangers.length > 0) return `WRONG: headers ${strangers.join(' ')}`;
  if (headers['cache-status'] === undefined) return 'WRONG: no Cache-Status';
  if (status >= 400) return errorVerdict(response, method);
  if (status !== (span === undefined ? 200 : 206)) return `WRONG: status ${status}`;
  if (headers['docker-content-digest'] !== cell.digest) {
    return `WRONG: announced ${String(headers['docker-content-digest'])}`;
  }
  const length = headers['content-length'];
  if (method === 'HEAD') {
    if (length === undefined) return 'unsized';
    return Number(length) === cell.size ? 'right' : 'claim';
  }
  const isManifest = cell.column === 'tag' || cell.column === 'digest';
  if (isManifest && headers['content-type'] !== 'application/vnd.oci.image.manifest.v1+json') {
    return `WRONG: type ${String(headers['content-type'])}`;
  }
  if (!cleanEnd) return 'broken';
  const right = span === undefined ? cell.bytes : cell.bytes.subarray(...span);
  const isPlaced = span === undefined || headers['content-range'] === `bytes ${span[0]}-${span[1] - 1}/${cell.size}`;
  if (isPlaced && body.equals(right)) return 'right';
  // For clients that check their chunks themselves: bytes that may be wrong, of a size that is a claim.
  if (status === 206 && headers['cache-status'].endsWith('; detail=unproved')) return 'unproved';
  return `WRONG: a complete ${status} of ${String(headers['content-range'])} with ${body.length} other bytes`;
}

function errorVerdict({ status, headers, body, cleanEnd }: RawResponse, method: string): string {
  if (!cleanEnd) return `WRONG: ${status} that breaks off`;
  if ('www-authenticate' in headers) return `WRONG: ${status} with a challenge`;
  const isLater = status === 503 || status === 429;
  if (isLater && headers['retry-after'] === undefined) return `WRONG: ${status} without Retry-After`;
  if (method === 'HEAD') return String(status);
  try {
    const { errors } = JSON.parse(body.toString()) as { errors: readonly { code: string; message: string }[] };
    const [first] = errors;
    const isGood = first !== undefined && /^[A-Z_]+$/.test(first.code) && first.message.length > 10;
    return isGood ? String(status) : `WRONG: ${status} with ${body.toString()}`;
  } catch {
    return `WRONG: ${status} without an OCI error`;
  }
}

/** Whatever an upstream sends, no other header reaches a client. */
const known = new Set(
  (
    'accept-ranges cache-control cache-status connection content-length content-range content-type date docker-content-digest ' +
    'docker-distribution-api-version etag keep-alive retry-after transfer-encoding x-content-type-options x-request-id ' +
    'last-modified vary oci-namespace location'
  ).split(' '),
);

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
