/** What an upstream says in its own access log, and the sums the suite asserts on. */
import { existsSync, readFileSync } from 'node:fs';

export interface LoggedRequest {
  readonly method: string;
  /** Path with query. */
  readonly target: string;
  readonly status: number;
  /** Body bytes sent; undefined where the registry does not log them. */
  readonly sizeBytes: number | undefined;
}

export type LineParser = (line: string) => LoggedRequest | undefined;

/** Distribution: Apache combined format. */
export const parseCombined: LineParser = (line) => {
  const match = /^\S+ \S+ \S+ \[[^\]]*\] "([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) (\d+)/.exec(line);
  if (match === null) return undefined;
  const [, method = '', target = '', status, size] = match;
  return { method, target, status: Number(status), sizeBytes: Number(size) };
};

/** crane's registry: `2026/01/31 10:00:00 GET /v2/…`, followed by status, code and message when it was refused. */
export const parseCrane: LineParser = (line) => {
  const match = /^\d{4}\/\d\d\/\d\d [\d:]+ ([A-Z]+) (\/\S*)(?: (\d{3}) )?/.exec(line);
  if (match === null) return undefined;
  const [, method = '', target = '', status = '200'] = match;
  return { method, target, status: Number(status), sizeBytes: undefined };
};

/** zot: one JSON document per line; requests have method, path and statusCode. */
export const parseZot: LineParser = (line) => {
  if (!line.startsWith('{') || !line.includes('"statusCode"')) return undefined;
  const entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const { method, path, statusCode, bodySize } = entry;
  if (typeof method !== 'string' || typeof path !== 'string' || typeof statusCode !== 'number') return undefined;
  return { method, target: path, status: statusCode, sizeBytes: typeof bodySize === 'number' ? bodySize : undefined };
};

export interface Transfer {
  readonly count: number;
  /** Undefined when the registry does not log sizes. */
  readonly sizeBytes: number | undefined;
}

export class RequestLog {
  readonly #file: string;
  readonly #parse: LineParser;

  constructor(file: string, parse: LineParser) {
    this.#file = file;
    this.#parse = parse;
  }

  /** Every request so far. Only whole lines count: a registry may be in the middle of one. */
  all(): readonly LoggedRequest[] {
    if (!existsSync(this.#file)) return [];
    const text = readFileSync(this.#file, 'utf8');
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
    return lines.map(this.#parse).filter((request) => request !== undefined);
  }
}

export function describeRequest({ method, target, status }: LoggedRequest): string {
  return `${method} ${target} ${status}`;
}

const isAnswered = ({ status }: LoggedRequest): boolean => status === 200 || status === 206;

/** Body transfers of one digest as a blob, in any repository. */
export function blobTransfers(requests: readonly LoggedRequest[], digest: string): Transfer {
  return sum(requests.filter(({ method, target }) => method === 'GET' && pathOf(target).endsWith(`/blobs/${digest}`)));
}

/** Body transfers of one manifest under any of its names in one repository (its digest, its tags). */
export function manifestTransfers(
  requests: readonly LoggedRequest[],
  repository: string,
  references: readonly string[],
): Transfer {
  const paths = new Set(references.map((reference) => `/v2/${repository}/manifests/${reference}`));
  return sum(requests.filter(({ method, target }) => method === 'GET' && paths.has(pathOf(target))));
}

function pathOf(target: string): string {
  return decodeURIComponent(target.split('?')[0] ?? target);
}

function sum(requests: readonly LoggedRequest[]): Transfer {
  const answered = requests.filter(isAnswered);
  const sizes = answered.map(({ sizeBytes }) => sizeBytes).filter((size) => size !== undefined);
  const isComplete = sizes.length === answered.length;
  return { count: answered.length, sizeBytes: isComplete ? sizes.reduce((a, b) => a + b, 0) : undefined };
}

/**
 * Requests that move content: what a warm pull may not cause. Token, ping and HEAD requests are not among them, nor what
 * was answered that there is none, which is remembered for seconds.
 */
export function contentTransfers(requests: readonly LoggedRequest[]): readonly LoggedRequest[] {
  return requests.filter(
    ({ method, target, status }) => method === 'GET' && status !== 404 && /\/(blobs|manifests)\//.test(pathOf(target)),
  );
}
