/**
 * The endpoints of one upstream, asked in order until one gives an answer: an outage of one is the next one's turn, an
 * answer (404 and 403 included) is final. That an endpoint has no such API is the next one's turn too, and an answer only
 * if all have said so. All inside one deadline, because clients give up after thirty seconds.
 */
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Attempt, Endpoint } from './endpoint.ts';
import { isOutage, UpstreamError } from './errors.ts';
import { failure } from './failure.ts';
import type { Breaker, BreakerPermit } from './limits.ts';
import type { UpstreamEvents } from './upstream.ts';

export interface EndpointsOptions {
  readonly upstream: string;
  /** In the order of preference, at least one. */
  readonly endpoints: readonly Endpoint[];
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<UpstreamEvents, 'upstreamRejected'>;
  readonly onRegistryAnswer: Attempt['onRegistryAnswer'];
}

export type Work<T> = (endpoint: Endpoint, attempt: Attempt) => Promise<T>;

export interface AskOptions {
  /** Used when all others have failed. */
  readonly avoid?: ReadonlySet<string>;
  /** The question is one that the caller can do without: failures count neither against endpoints nor the upstream. */
  readonly isSpare?: boolean;
  /** False for what was begun for nobody: its failure is no reason to leave the upstream alone. A client may have more luck. */
  readonly isAwaited?: boolean;
  /** Asked as a stranger although there may be a credential: what limits strangers says nothing about anybody else. */
  readonly isStranger?: boolean;
}

const totalMs = 20_000;
/** Kept for the next endpoint while there is one. */
const reservedMs = 8_000;
/** An endpoint that failed goes last for so long, so that a dead mirror does not cost every request its time-out. */
const restMs = 30_000;

const complainEveryMs = 60_000;

export class Endpoints {
  readonly #options: EndpointsOptions;
  #complainsFromMs = -Infinity;
  readonly #restsUntilMs = new Map<Endpoint, number>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** Rejects with UpstreamError only. */
  async ask<T>(
    work: Work<T>,
    signal: AbortSignal,
    { avoid = new Set(), isSpare = false, isAwaited = true, isStranger = false }: AskOptions = {},
  ): Promise<T> {
    const permit = this.#options.breaker.enter();
    const { clock } = this.#options;
    const endsAtMs = clock.monotonic() + totalMs;
    const order = this.#order(avoid);
    let outage: UpstreamError | undefined;
    for (const [index, endpoint] of order.entries()) {
      const isLast = index === order.length - 1;
      const attempt = this.#attempt(signal, isLast ? endsAtMs : endsAtMs - reservedMs);
      try {
        const value = await attempt.run(() => work(endpoint, attempt.state));
        this.#restsUntilMs.delete(endpoint);
        permit.succeeded();
        return value;
      } catch (cause) {
        const error = this.#asUpstreamError(cause, signal);
        const isOwn = isSpare || (isStranger && error.kind === 'rateLimited');
        if (!isOwn) this.#note(error, endpoint, attempt.state);
        if (isOutage(error)) outage ??= error;
        const isNextsTurn = error.kind === 'unsupported' || isOutage(error);
        if (isNextsTurn && !isLast && clock.monotonic() < endsAtMs) continue;
        if (isAwaited && !isOwn) settle(permit, error, attempt.state);
        else permit.abandoned();
        // Whoever said nothing may have the API.
        throw error.kind === 'unsupported' ? (outage ?? error) : error;
      }
    }
    permit.abandoned();
    throw failure('unreachable', this.#options.upstream, 'no endpoint is configured');
  }

  #order(avoid: ReadonlySet<string>): readonly Endpoint[] {
    const nowMs = this.#options.clock.monotonic();
    const rank = (endpoint: Endpoint): number =>
      (avoid.has(endpoint.name) ? 2 : 0) + ((this.#restsUntilMs.get(endpoint) ?? 0) > nowMs ? 1 : 0);
    // Sorting keeps the order of equals.
    return this.#options.endpoints.toSorted((a, b) => rank(a) - rank(b));
  }

  #attempt(signal: AbortSignal, endsAtMs: number): { state: Attempt; run: <T>(work: () => Promise<T>) => Promise<T> } {
    const { upstream, clock, onRegistryAnswer } = this.#options;
    const control = new AbortController();
    const late = failure('timeout', upstream, 'no complete answer in time');
    const state: Attempt = {
      upstream,
      clock,
      signal: AbortSignal.any([signal, control.signal]),
      endsAtMs,
      hasLeftRegistry: false,
      onRegistryAnswer,
    };
    const run = async <T>(work: () => Promise<T>): Promise<T> => {
      using _timer = clock.setTimer(endsAtMs - clock.monotonic(), () => control.abort(late));
      try {
        return await work();
      } catch (error) {
        throw control.signal.aborted && !signal.aborted ? late : error;
      }
    };
    return { state, run };
  }

  #asUpstreamError(cause: unknown, signal: AbortSignal): UpstreamError {
    if (cause instanceof UpstreamError) return cause;
    const { upstream, logger } = this.#options;
    if (signal.aborted) return failure('aborted', upstream, 'given up by the caller', cause);
    logger.error({ upstream, err: cause }, 'an error that upstreams do not have');
    return failure('badResponse', upstream, 'unexpected failure', cause);
  }

  /** What this machine lacks is for its log, with names; clients are told less. */
  #complain(error: UpstreamError): void {
    const { upstream, logger, clock } = this.#options;
    const nowMs = clock.monotonic();
    if (nowMs < this.#complainsFromMs) return;
    this.#complainsFromMs = nowMs + complainEveryMs;
    logger.warn({ upstream, err: error }, 'this machine lacks what asking takes');
  }

  #note(error: UpstreamError, endpoint: Endpoint, { hasLeftRegistry }: Attempt): void {
    const { upstream, logger, events, clock } = this.#options;
    if (error.kind === 'badResponse' || error.kind === 'tooLarge' || error.kind === 'redirectRefused') {
      events.upstreamRejected({ upstream, reason: error.kind });
    }
    if (!isOutage(error)) return;
    if (error.kind === 'exhausted') this.#complain(error);
    if (!hasLeftRegistry && error.kind !== 'exhausted') this.#restsUntilMs.set(endpoint, clock.monotonic() + restMs);
    logger.debug({ upstream, endpoint: endpoint.name, kind: error.kind, reason: error.message }, 'endpoint failed');
  }
}

/** Storage behind a redirect may be down while the registry is well; a body that breaks is no news either. */
function settle(permit: BreakerPermit, error: UpstreamError, { hasLeftRegistry }: Attempt): void {
  if (error.kind === 'aborted') permit.abandoned();
  else if (hasLeftRegistry || !isOutage(error) || isAnswer(error)) permit.succeeded();
  else permit.failed(error);
}

/** Outages for the cache, but the registry has answered; with 4xx, that it does not like what one client may have asked. */
function isAnswer({ kind, status = 0 }: UpstreamError): boolean {
  if (kind === 'badResponse') return status >= 400 && status <= 499;
  return kind === 'tooLarge' || kind === 'redirectRefused' || kind === 'cut';
}
