import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseReference, parseRepository, type Reference, type Repository } from '../../../src/oci/reference.ts';
import { createUpstream, type UpstreamOptions } from '../../../src/upstream/create.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import type { BlobBody, Upstream, UpstreamEvents } from '../../../src/upstream/contract/upstream.ts';
import { noTls } from './senders.ts';

export const never: AbortSignal = new AbortController().signal;

type EventOf<K extends keyof UpstreamEvents> = Parameters<UpstreamEvents[K]>[0];

/** Everything that was reported, by kind. */
export interface Recorded {
  readonly events: UpstreamEvents;
  readonly requests: EventOf<'upstreamRequest'>[];
  readonly remaining: number[];
  readonly breaker: boolean[];
  readonly rejected: string[];
  bytes: number;
}

export function recorder(): Recorded {
  const recorded: Recorded = {
    requests: [],
    remaining: [],
    breaker: [],
    rejected: [],
    bytes: 0,
    events: {
      upstreamRequest: (event) => recorded.requests.push(event),
      upstreamBytes: ({ bytes }) => (recorded.bytes += bytes),
      rateLimitRemaining: ({ remaining }) => recorded.remaining.push(remaining),
      breakerChanged: ({ isOpen }) => recorded.breaker.push(isOpen),
      upstreamRejected: ({ reason }) => recorded.rejected.push(reason),
    },
  };
  return recorded;
}

/** An anonymous client of these endpoints. */
export function clientOf(
  endpoints: URL | readonly URL[],
  overrides: Partial<UpstreamOptions> = {},
): Upstream & AsyncDisposable {
  const urls = endpoints instanceof URL ? [endpoints] : endpoints;
  const upstream = createUpstream({
    key: 'test',
    endpoints: urls.map(({ href }) => href.replace(/\/$/, '')),
    credentials: undefined,
    realms: [],
    allowHosts: [],
    tls: noTls,
    proxy: { kind: 'direct' },
    proxyEnvironment: { http: undefined, https: undefined, noProxy: [] },
    connections: 8,
    isOffline: false,
    clock: systemClock,
    logger: silentLogger,
    events: recorder().events,
    ...overrides,
  });
  return Object.assign(upstream, { [Symbol.asyncDispose]: () => upstream.close() });
}

export function repo(text: string): Repository {
  const repository = parseRepository(text);
  if (repository === undefined) throw new Error(`no repository: ${text}`);
  return repository;
}

export function ref(text: string): Reference {
  const reference = parseReference(text);
  if (reference === undefined) throw new Error(`no reference: ${text}`);
  return reference;
}

export const someDigest = digestOf('hello world');

export async function readAll(body: BlobBody): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.chunks) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The error of a promise that must reject with an UpstreamError. */
export async function failureOf(promise: Promise<unknown>): Promise<UpstreamError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UpstreamError)) throw new Error('expected an UpstreamError', { cause: error });
  return error;
}
