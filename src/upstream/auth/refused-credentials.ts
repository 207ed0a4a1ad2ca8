/**
 * Credentials that a place has refused: not sent there again for a while, because directories lock accounts after a few
 * wrong passwords. And while nobody knows whether one is good, one question tries it and the others wait for its end.
 */
import { abortable, abortReason } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Credential } from '../credentials/credentials.ts';
import type { UpstreamError } from '../contract/errors.ts';
import { lruOf } from '../../lib/lru.ts';
import { QuestionMemory } from '../limits/question-memory.ts';

/** Some registries say 401 where they mean that this repository is not for this user. Three of them mean the user. */
const refusedBy = 3;
/** An answer may hang for reasons of its own: then the next question tries. */
const trialMs = 2_000;
const maxPlaces = 1_000;

interface Place {
  isAccepted: boolean;
  /** Repositories that were refused since anything was accepted. */
  readonly refused: Set<string>;
  trial: { readonly startedMs: number; readonly ended: PromiseWithResolvers<void> } | undefined;
}

/** One sending of a credential. Disposed without a word, it has taught nothing. */
export interface Trial extends Disposable {
  accepted(): void;
  /** `isCertain`: it is the credential, whatever was asked for. */
  refused(error: UpstreamError, isCertain: boolean): void;
}

export interface Sending {
  readonly credential: Pick<Credential, 'identity'>;
  /** Of the registry or the token server that gets it. */
  readonly origin: string;
  readonly repository: string;
}

export class RefusedCredentials {
  readonly #clock: Pick<Clock, 'monotonic' | 'setTimer'>;
  readonly #memory: QuestionMemory;
  readonly #places = lruOf<string, Place>(maxPlaces);

  constructor(clock: Pick<Clock, 'monotonic' | 'setTimer'>) {
    this.#clock = clock;
    this.#memory = new QuestionMemory(clock);
  }

  /**
   * Resolves when the credential may be sent. Rejects with the refusal that is remembered (5 s, doubling to 60 s with each
   * further one), or the signal's reason. Another credential is another matter: nothing is held against it.
   */
  async begin({ credential, origin, repository }: Sending, signal: AbortSignal): Promise<Trial> {
    const whole = JSON.stringify([credential.identity, origin]);
    const own = JSON.stringify([credential.identity, origin, repository]);
    const place = this.#place(whole);
    for (;;) {
      if (signal.aborted) throw abortReason(signal);
      const error = this.#memory.remembered(whole) ?? this.#memory.remembered(own);
      if (error !== undefined) throw error;
      const { trial } = place;
      if (place.isAccepted || trial === undefined) break;
      const leftMs = trial.startedMs + trialMs - this.#clock.monotonic();
      if (leftMs <= 0) break;
      using _timer = this.#clock.setTimer(leftMs, () => trial.ended.resolve());
      await abortable(trial.ended.promise, signal);
    }
    const trial = { startedMs: this.#clock.monotonic(), ended: Promise.withResolvers<void>() };
    if (!place.isAccepted) place.trial = trial;
    return {
      accepted: () => {
        place.isAccepted = true;
        place.refused.clear();
        this.#memory.answered(whole);
        this.#memory.answered(own);
      },
      refused: (error, isCertain) => {
        place.isAccepted = false;
        if (place.refused.size < refusedBy) place.refused.add(repository);
        this.#memory.failed(own, error);
        if (isCertain || place.refused.size >= refusedBy) this.#memory.failed(whole, error);
      },
      [Symbol.dispose]: () => {
        if (place.trial === trial) place.trial = undefined;
        trial.ended.resolve();
      },
    };
  }

  #place(key: string): Place {
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const made: Place = { isAccepted: false, refused: new Set(), trial: undefined };
    this.#places.set(key, made);
    return made;
  }
}
