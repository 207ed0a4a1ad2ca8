/** How one endpoint stands with its questions: which wait, which are answered from memory, and what their answers teach. */
import type { Clock } from '../../lib/clock.ts';
import { UpstreamError } from '../contract/errors.ts';
import { lruOf } from '../../lib/lru.ts';
import { limitKey, type Question, questionKey } from '../contract/question.ts';
import { QuestionMemory } from './question-memory.ts';
import { RateLimit } from './rate-limit.ts';
import { Scopes } from './scopes.ts';
import { Turnstile } from './turnstile.ts';

/** Clients give up after 30 s; one that gets its 429 before knows when to come back. */
const limitPatienceMs = 25_000;

export interface Patience {
  /** Monotonic time at which the question began, and at which it has had its time. */
  readonly startedMs: number;
  readonly endsAtMs: number;
}

/** What became of a question. */
export type Result =
  | { readonly kind: 'answered' }
  | { readonly kind: 'failed' | 'limited'; readonly error: UpstreamError }
  /** Nothing was learnt. */
  | { readonly kind: 'nothing' };

export class Standing {
  readonly #upstream: string;
  readonly #clock: Pick<Clock, 'monotonic' | 'setTimer'>;
  readonly #memory: QuestionMemory;
  readonly #scopes: Scopes;
  readonly #limits = lruOf<string, RateLimit>(64);
  readonly #turnstile: Turnstile;

  constructor(upstream: string, clock: Pick<Clock, 'monotonic' | 'setTimer'>) {
    this.#upstream = upstream;
    this.#clock = clock;
    this.#memory = new QuestionMemory(clock);
    this.#scopes = new Scopes(() => clock.monotonic());
    this.#turnstile = new Turnstile(clock);
  }

  /**
   * Resolves when the question may be asked. Rejects with what is remembered of it, `rateLimited` where the upstream's limit
   * does not let it pass in time, `breakerOpen` when its patience ends or too many wait, or the signal's reason.
   */
  async admit(question: Question, { startedMs, endsAtMs }: Patience, signal: AbortSignal): Promise<void> {
    const key = questionKey(question);
    const limit = this.#limit(question);
    const limitEndsMs = Math.min(endsAtMs, startedMs + limitPatienceMs);
    const refusal = (): UpstreamError | undefined => this.#memory.remembered(key) ?? limit.refusal(limitEndsMs);
    const error = this.#memory.remembered(key) ?? limit.refusal(limitEndsMs, this.#turnstile.waiting);
    if (error !== undefined) throw error;
    const gates = [...this.#scopes.gates(question), limit];
    // What was begun for nobody comes back when nobody has to wait.
    const isHeldBack = gates.some(({ opensAtMs }) => opensAtMs > this.#clock.monotonic());
    if (question.isAwaited === false && (limit.isOn || isHeldBack)) throw limit.isOn ? limit.error() : this.#late();
    const late = (): UpstreamError => (limit.isOn ? limit.error() : this.#late());
    const waiting = {
      gates,
      client: question.client ?? '',
      failedAtMs: () => this.#memory.failedAtMs(key),
      endsAtMs: limit.isOn ? limitEndsMs : endsAtMs,
      late,
      refusal,
    };
    await this.#turnstile.pass(waiting, signal);
  }

  settle(question: Question, result: Result, sentAtMs: number): void {
    const key = questionKey(question);
    switch (result.kind) {
      case 'answered': {
        this.#memory.answered(key);
        const limit = this.#limit(question);
        const { opensAtMs } = limit;
        limit.answered();
        if (this.#scopes.answered(question) || limit.opensAtMs < opensAtMs) this.#turnstile.wake();
        return;
      }
      case 'failed':
        if (question.isAwaited === false) return;
        this.#memory.failed(key, result.error);
        this.#scopes.failed(question);
        this.#turnstile.wake();
        return;
      case 'limited':
        this.#limit(question).limited(result.error.retryAfterMs, sentAtMs);
        this.#turnstile.wake();
        return;
      case 'nothing':
        return;
    }
  }

  /** A place that the registry needs has failed, which is remembered there. */
  failedElsewhere(question: Question): void {
    if (question.isAwaited !== false) this.#scopes.failed(question);
  }

  /** When it answered anything last, monotonic; -Infinity before the first time. A failure or a limit is no answer. */
  get answeredAtMs(): number {
    return this.#scopes.answeredAtMs;
  }

  /** Everything that is asked of it fails. */
  get isFailing(): boolean {
    return this.#scopes.isFailing;
  }

  #limit(question: Question): RateLimit {
    const key = limitKey(question);
    const known = this.#limits.get(key) ?? new RateLimit(this.#upstream, this.#clock);
    this.#limits.set(key, known);
    return known;
  }

  #late(): UpstreamError {
    const message = `${this.#upstream} fails at much of what it is asked, and this was not asked in time`;
    return new UpstreamError('breakerOpen', message, { upstream: this.#upstream, retryAfterMs: 5_000 });
  }
}
