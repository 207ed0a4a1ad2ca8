/** Leave to bring blobs from one upstream: as many at once as it has `connections`, shared out among clients. */
import { abortReason } from '../../lib/abort.ts';
import { Shares } from '../../lib/sharing/shares.ts';
import { CrowdedError } from '../../lib/sharing/slot.ts';
import { Aside } from './aside.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { Patience } from '../contract/patience.ts';
import type { TransferSlot, TransferTerms } from '../contract/transfer-slot.ts';

/** More do not wait; those of the client that wants the most are turned away. */
const mostWaiting = 1000;
const crowdedRetryMs = 5000;

export class Transfers {
  readonly #upstream: string;
  readonly #shares: Shares;
  readonly #aside = new Aside();

  constructor(upstream: string, connections: number) {
    this.#upstream = upstream;
    this.#shares = new Shares(connections, mostWaiting);
  }

  /** Rejects with UpstreamError: `aborted`, or `exhausted` when too many wait. */
  async acquire(terms: TransferTerms, signal: AbortSignal): Promise<TransferSlot> {
    const wanted = new AbortController();
    const permit = await this.#shares
      .acquire({ ...terms, onWanted: () => this.#want(wanted) }, signal)
      .catch((cause: unknown) => {
        throw cause instanceof CrowdedError
          ? this.#crowded(cause)
          : failure('aborted', this.#upstream, 'given up by the caller', abortReason(signal));
      });
    return this.#slot(terms, wanted, permit);
  }

  /** One that nobody waits for, or none. */
  spare(terms: TransferTerms): TransferSlot | undefined {
    const wanted = new AbortController();
    const permit = this.#shares.tryAcquire({ ...terms, onWanted: () => this.#want(wanted) });
    return permit && this.#slot(terms, wanted, permit);
  }

  #slot(terms: TransferTerms, wanted: AbortController, first: Disposable): TransferSlot {
    const { party } = terms;
    const waiting = { party, end: () => this.#want(wanted) };
    let permit: Disposable | undefined = first;
    let isReleased = false;
    let patience: Patience | undefined;
    const isContended = (): boolean => this.#shares.isContended;
    const mayWait = (): boolean => terms.mayBeTaken?.() === false && party.priority === 'normal' && !isContended();
    return {
      wanted: wanted.signal,
      party,
      isContended,
      patience: (clock) => (patience ??= new Patience(clock, mayWait)).flag,
      stepAside: () => {
        if (isReleased || permit === undefined || !this.#aside.enter(waiting)) return;
        permit[Symbol.dispose]();
        permit = undefined;
      },
      stepBack: () => {
        if (isReleased || permit !== undefined) return;
        permit = this.#shares.tryAcquire({ ...terms, onWanted: () => this.#want(wanted) });
        if (permit !== undefined) this.#aside.leave(waiting);
      },
      release: () => {
        isReleased = true;
        patience?.end();
        this.#aside.leave(waiting);
        permit?.[Symbol.dispose]();
      },
    };
  }

  #want(wanted: AbortController): void {
    wanted.abort(failure('preempted', this.#upstream, 'gave way to what another client waits for'));
  }

  #crowded(cause: Error): UpstreamError {
    const message = 'too many transfers wait for their turn';
    return new UpstreamError('exhausted', message, { upstream: this.#upstream, retryAfterMs: crowdedRetryMs, cause });
  }
}
