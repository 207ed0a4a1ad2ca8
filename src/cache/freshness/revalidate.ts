/**
 * Asking the upstream again about something of which an old answer may be at hand: one question per key at a time,
 * nobody waits long who could have the old answer, and a failure is not repeated for every client.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import { Coalesce } from '../../lib/single-flight.ts';
import { SlowUpstreams } from '../contract/slow-upstreams.ts';
import { isNoAnswer, isSilence } from './error-classes.ts';

export type Refreshed<V> =
  | { readonly kind: 'answered'; readonly value: V; readonly isCollapsed: boolean }
  /** The upstream gave no usable word; `error` is undefined while the question still runs. */
  | { readonly kind: 'unanswered'; readonly error: Error | undefined };

export interface RefreshOptions {
  readonly staleAfterMs: number;
  readonly retryMs: number;
}

export interface Question {
  readonly key: string;
  /** Who is asked. Once it has left one question without an answer for too long, nobody waits for its other ones. */
  readonly upstream: string;
  /** An old answer is at hand. */
  readonly hasStale: boolean;
}

/** A question under way. */
interface Running {
  /** Monotonic. */
  readonly startedMs: number;
}

interface Failure {
  readonly error: Error;
  readonly untilMs: number;
}

export class Refresh<V> {
  readonly #clock: Clock;
  readonly #options: RefreshOptions;
  readonly #flights = new Coalesce<V>();
  readonly #running = new Map<string, Running>();
  readonly #slowUpstreams: SlowUpstreams;
  readonly #failures = new LRUCache<string, Failure>({ max: 4096 });

  constructor(clock: Clock, options: RefreshOptions, slowUpstreams: SlowUpstreams = new SlowUpstreams()) {
    this.#clock = clock;
    this.#options = options;
    this.#slowUpstreams = slowUpstreams;
  }

  isRunning(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Joins or starts the question. With an old answer at hand it resolves `unanswered` once the question has run for
   * `staleAfterMs`, counted from its start, and at once within `retryMs` after a failure; without one the caller waits to
   * the end. Rejects with the upstream's refusals (404, denied, …) and the signal's reason.
   */
  async run(
    question: Question,
    work: (signal: AbortSignal) => Promise<V>,
    signal: AbortSignal | undefined,
  ): Promise<Refreshed<V>> {
    const { key } = question;
    if (question.hasStale && !this.isRunning(key)) {
      const failure = this.#failures.get(key);
      if (failure !== undefined && this.#clock.monotonic() < failure.untilMs) {
        return { kind: 'unanswered', error: failure.error };
      }
    }
    const isCollapsed = this.isRunning(key);
    const flight = this.#flights.run(key, (own) => this.#ask(question, work, own), signal);
    const answered = flight.then(
      (value): Refreshed<V> => ({ kind: 'answered', value, isCollapsed }),
      (error: unknown): Refreshed<V> => this.#unanswered(error),
    );
    return question.hasStale ? this.#inTime(question, answered) : answered;
  }

  /** Ends what runs. */
  close(): void {
    this.#flights.close();
  }

  async #ask(question: Question, work: (signal: AbortSignal) => Promise<V>, signal: AbortSignal): Promise<V> {
    const { key, upstream } = question;
    const running = { startedMs: this.#clock.monotonic() };
    this.#running.set(key, running);
    // Nobody who has an old answer waits for it, so nobody would say that it is late.
    if (this.#slowUpstreams.isSilent(upstream, running.startedMs))
      this.#slowUpstreams.add(upstream, running, running.startedMs);
    try {
      const value = await work(signal);
      this.#failures.delete(key);
      this.#slowUpstreams.answered(upstream, this.#clock.monotonic());
      return value;
    } catch (error) {
      if (isNoAnswer(error)) {
        this.#failures.set(key, { error, untilMs: this.#clock.monotonic() + this.#options.retryMs });
      }
      if (isSilence(error)) this.#slowUpstreams.unanswered(upstream, running, this.#clock.monotonic());
      throw error;
    } finally {
      this.#running.delete(key);
      this.#slowUpstreams.delete(upstream, running);
    }
  }

  #unanswered(error: unknown): Refreshed<V> {
    if (isNoAnswer(error)) return { kind: 'unanswered', error };
    throw error;
  }

  /** Whichever comes first: the answer, or the end of the patience with this question. */
  #inTime({ key, upstream }: Question, answered: Promise<Refreshed<V>>): Promise<Refreshed<V>> {
    const nowMs = this.#clock.monotonic();
    const startedMs = this.#running.get(key)?.startedMs ?? nowMs;
    const leftMs = this.#slowUpstreams.isSilent(upstream, nowMs) ? 0 : startedMs + this.#options.staleAfterMs - nowMs;
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        const running = this.#running.get(key);
        if (running !== undefined) this.#slowUpstreams.add(upstream, running, running.startedMs);
        resolve({ kind: 'unanswered', error: undefined });
      };
      if (leftMs <= 0) {
        giveUp();
        // Whoever asked first has seen, or will see, what becomes of it.
        answered.catch(() => undefined);
        return;
      }
      const timer = this.#clock.setTimer(leftMs, giveUp);
      answered.finally(() => timer.cancel()).then(resolve, reject);
    });
  }
}
