/**
 * The endpoints of one upstream, asked in order until one gives an answer: an outage of one is the next one's turn, an
 * answer (404 and 403 included) is final. That an endpoint has no such API is the next one's turn too, and an answer only
 * if all have said so. One that is late gets the next one beside it. All inside the one deadline of the question.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Attempt, Endpoint } from './endpoint.ts';
import { isOutage, UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { isUnsupported, settle, worstOf } from './blame.ts';
import type { Question } from '../contract/question.ts';
import { race, type Runner } from './race.ts';
import { longestShortMs } from '../limits/rate-limit.ts';
import { QuestionSlots } from '../limits/questions.ts';
import { type Patience, Standing } from '../limits/standing.ts';
import type { UpstreamEvents } from '../contract/upstream.ts';

export interface EndpointsOptions {
  readonly upstream: string;
  /** In the order of preference, at least one. */
  readonly endpoints: readonly Endpoint[];
  /** For one question from its first byte to the last of its head, waits and other endpoints included; milliseconds. */
  readonly headTimeoutMs: number;
  /** Transfers at once, and other questions besides. */
  readonly connections: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<UpstreamEvents, 'upstreamRejected'>;
  readonly onRegistryAnswer: Attempt['onRegistryAnswer'];
}

export type Work<T> = (endpoint: Endpoint, attempt: Attempt) => Promise<T>;

export interface AskOptions {
  /** It is a transfer, which has a slot already. */
  readonly isTransfer?: boolean;
  /** Used when all others have failed. */
  readonly avoid?: ReadonlySet<string>;
  /** The question is one that the caller can do without: its failure is held against nothing. */
  readonly isOpportunistic?: boolean;
}

/** An endpoint that has said nothing for so long gets the next one beside it. */
export const lateAfterMs = 8_000;
const limitPatienceMs = 25_000;
const firstStorageWaitMs = 1_000;

const complainEveryMs = 60_000;

export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #slots: QuestionSlots;
  #complainsFromMs = -Infinity;
  readonly #standings = new Map<Endpoint, Standing>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.#slots = new QuestionSlots({ ...options, lateAfterMs });
    for (const endpoint of options.endpoints) {
      this.#standings.set(endpoint, new Standing(options.upstream, options.clock));
    }
  }

  /** Throws UpstreamError `breakerOpen` when no endpoint can be asked now. */
  check(isAwaited = true): void {
    const { endpoints } = this.#options;
    if (!endpoints.every(({ health }) => health.isDown)) return;
    for (const [index, { health }] of endpoints.entries()) {
      try {
        return health.check(isAwaited);
      } catch (error) {
        if (index === endpoints.length - 1) throw error;
      }
    }
  }

  /** Monotonic time of the last answer of any endpoint (a failure or a limit is none); -Infinity before the first one. */
  get answeredAtMs(): number {
    return Math.max(...[...this.#standings.values()].map(({ answeredAtMs }) => answeredAtMs));
  }

  /** Rejects with UpstreamError only. */
  async ask<T>(question: Question, work: Work<T>, signal: AbortSignal, options: AskOptions = {}): Promise<T> {
    const { clock, upstream, headTimeoutMs } = this.#options;
    const startedMs = clock.monotonic();
    const patience: Patience = { startedMs, endsAtMs: startedMs + headTimeoutMs };
    const order = this.#order(options.avoid ?? new Set());
    const runners = order.map((endpoint, index): Runner<T> => {
      const isLast = index === order.length - 1;
      return (lost, begun) =>
        this.#askOne(
          endpoint,
          { isOpportunistic: false, isTransfer: false, ...options, ...question, isLast },
          patience,
          work,
          {
            signal,
            lost,
            begun,
          },
        );
    });
    if (runners.length === 0) throw failure('unreachable', upstream, 'no endpoint is configured');
    const isRefusal = (error: unknown): boolean => !isOutage(error) && !isUnsupported(error);
    return race(runners, { clock, lateAfterMs, isRefusal }, worstOf);
  }

  /** One endpoint, again after a limit that is short enough to be waited for. */
  async #askOne<T>(
    endpoint: Endpoint,
    question: Question & AskOptions & { readonly isLast: boolean },
    patience: Patience,
    work: Work<T>,
    { signal, lost, begun }: Stops,
  ): Promise<T> {
    const { clock } = this.#options;
    const either = AbortSignal.any([signal, lost]);
    const standing = this.#standing(endpoint);
    let waits = 0;
    for (;;) {
      try {
        await standing.admit(question, patience, either);
      } catch (cause) {
        throw this.#asUpstreamError(cause, signal);
      }
      // Behind all gates, so that what waits for a slow repository takes no slot from others.
      using slot =
        question.isTransfer === true ? undefined : await this.#slots.enter(question, patience.endsAtMs, either);
      begun();
      const stops = slot === undefined ? either : AbortSignal.any([either, slot.signal]);
      const attempt = this.#attempt(stops, patience.endsAtMs);
      const sentAtMs = clock.monotonic();
      try {
        const value = await attempt.run(() => work(endpoint, attempt.state));
        standing.settle(question, { kind: 'answered' }, sentAtMs);
        return value;
      } catch (cause) {
        const error = this.#asUpstreamError(slot?.signal.aborted === true ? slot.signal.reason : cause, signal);
        if (question.isOpportunistic !== true) {
          this.#note(error, endpoint);
          settle(standing, question, error, attempt.state, sentAtMs);
        }
        const waitMs = error.retryAfterMs ?? firstStorageWaitMs * 2 ** waits;
        const isWorthIt =
          error.kind === 'rateLimited' &&
          question.isLast &&
          question.isOpportunistic !== true &&
          question.isAwaited !== false &&
          waitMs <= longestShortMs &&
          clock.monotonic() + waitMs <= patience.startedMs + limitPatienceMs;
        if (!isWorthIt || either.aborted) throw error;
        waits++;
        // Elsewhere there is no queue: storage and token servers have limits of their own.
        const isQueued = !attempt.state.hasLeftRegistry && attempt.state.stage === 'registry';
        if (!isQueued) {
          await clock.sleep(waitMs, either).catch((reason: unknown) => {
            throw this.#asUpstreamError(reason, signal);
          });
        }
      }
    }
  }

  #standing(endpoint: Endpoint): Standing {
    const known = this.#standings.get(endpoint) ?? new Standing(this.#options.upstream, this.#options.clock);
    this.#standings.set(endpoint, known);
    return known;
  }

  #order(avoid: ReadonlySet<string>): readonly Endpoint[] {
    const rank = (endpoint: Endpoint): number =>
      (endpoint.health.isDown ? 4 : 0) +
      (avoid.has(endpoint.name) ? 2 : 0) +
      (this.#standing(endpoint).isFailing ? 1 : 0);
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
      stage: 'registry',
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

  #note(error: UpstreamError, endpoint: Endpoint): void {
    const { upstream, logger, events } = this.#options;
    if (error.kind === 'badResponse' || error.kind === 'tooLarge' || error.kind === 'redirectRefused') {
      events.upstreamRejected({ upstream, reason: error.kind });
    }
    if (!isOutage(error)) return;
    if (error.kind === 'exhausted') this.#complain(error);
    logger.debug({ upstream, endpoint: endpoint.name, kind: error.kind, reason: error.message }, 'endpoint failed');
  }
}

interface Stops {
  /** The caller's. */
  readonly signal: AbortSignal;
  /** Another endpoint was faster. */
  readonly lost: AbortSignal;
  readonly begun: () => void;
}
