/**
 * Leave to ask one upstream for what is no transfer: manifests, lists, HEADs. A number at once, shared out among client
 * addresses, so that one of them with a thousand names opens no thousand connections and holds up nobody else.
 */
import { abortReason } from '../../lib/abort.ts';
import { Party } from '../../lib/sharing/party.ts';
import type { Clock } from '../../lib/clock.ts';
import { UpstreamError } from '../contract/errors.ts';
import type { Question } from '../contract/question.ts';
import { Transfers } from './transfers.ts';

/** However few transfers an upstream is given, this many short questions go beside them. */
const leastAtOnce = 8;
const retryAfterMs = 5000;

export interface QuestionSlotsOptions {
  readonly upstream: string;
  /** Of the upstream. */
  readonly connections: number;
  readonly clock: Pick<Clock, 'setTimer' | 'monotonic'>;
  /** Without a head for so long, a question gives its slot back and waits beside the others. */
  readonly lateAfterMs: number;
}

export interface QuestionSlot extends Disposable {
  /** Aborts with UpstreamError `exhausted` when this question is late and somebody who has fewer needs its place. */
  readonly signal: AbortSignal;
}

export class QuestionSlots {
  readonly #options: QuestionSlotsOptions;
  readonly #slots: Transfers;

  constructor(options: QuestionSlotsOptions) {
    this.#options = options;
    this.#slots = new Transfers(options.upstream, Math.max(options.connections, leastAtOnce));
  }

  /**
   * Resolves a slot; whoever gets it disposes it. Rejects with UpstreamError `exhausted` when too many wait, or at
   * `endsAtMs` (monotonic); and with the signal's reason.
   */
  async enter({ client, isAwaited = true }: Question, endsAtMs: number, signal: AbortSignal): Promise<QuestionSlot> {
    const { clock, lateAfterMs } = this.#options;
    const control = new AbortController();
    const end = (why: string): void => control.abort(this.#crowded(why));
    // A question cannot be resumed, so nobody's slot is taken.
    const terms = { party: new Party(isAwaited ? 'normal' : 'low', client), mayBeTaken: () => false };
    let timer = clock.setTimer(endsAtMs - clock.monotonic(), () => end('it had no turn in its time'));
    try {
      const slot = await this.#slots.acquire(terms, AbortSignal.any([signal, control.signal]));
      timer[Symbol.dispose]();
      timer = clock.setTimer(lateAfterMs, () => slot.stepAside());
      slot.wanted.addEventListener('abort', () => end('it was late, and gave way to another client'), { once: true });
      const dispose = (): void => {
        timer[Symbol.dispose]();
        slot.release();
      };
      return { signal: control.signal, [Symbol.dispose]: dispose };
    } catch (error) {
      timer[Symbol.dispose]();
      throw control.signal.aborted && !signal.aborted ? abortReason(control.signal) : error;
    }
  }

  #crowded(why: string): UpstreamError {
    const { upstream } = this.#options;
    return new UpstreamError('exhausted', `too many questions are under way: ${why}`, { upstream, retryAfterMs });
  }
}
