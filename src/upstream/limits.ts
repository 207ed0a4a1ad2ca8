/**
 * How much is asked of an upstream that is in trouble: nothing, for a while. A breaker belongs to one upstream; it looks
 * at answers of the registry and its token server, never at storage behind redirects and never at bodies.
 */
import type { Clock } from '../lib/clock.ts';
import { UpstreamError } from './errors.ts';

export interface BreakerOptions {
  /** The upstream's key, for errors. */
  readonly upstream: string;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Why nobody is asked, after the key, for errors. */
  readonly reason?: string;
  /** Called on each change. */
  readonly onChange?: (isOpen: boolean) => void;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** Leave to ask once. Exactly one of the three is called when it is over; later calls do nothing. */
export interface BreakerPermit {
  /** The registry answered, whatever it said. */
  succeeded(): void;
  failed(error: UpstreamError): void;
  /** Nothing was learnt: the caller gave up. */
  abandoned(): void;
}

const firstPauseMs = 5_000;
const longestPauseMs = 60_000;
/** No Retry-After is honoured beyond this. */
export const longestRetryAfterMs = 3_600_000;
/** A single 5xx is common; three in a row are not. */
const toleratedServerErrors = 3;

type Weight = 'opens' | 'counts' | 'none';

export class Breaker {
  readonly #options: BreakerOptions;
  #failuresInRow = 0;
  /** Undefined while closed. Monotonic time of the next probe. */
  #probeAtMs: number | undefined;
  #pauseMs = firstPauseMs;
  #probe: BreakerPermit | undefined;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#probeAtMs !== undefined;
  }

  /** Throws what `enter` would throw now; takes nothing. */
  check(): void {
    if (this.#probeAtMs === undefined) return;
    const leftMs = this.#probeAtMs - this.#options.clock.monotonic();
    if (leftMs <= 0 && this.#probe === undefined) return;
    const { upstream, reason = 'failed lately and is not asked' } = this.#options;
    const retryAfterMs = Math.max(leftMs, 1000);
    throw new UpstreamError('breakerOpen', `${upstream} ${reason}`, { upstream, retryAfterMs });
  }

  /** While open: throws UpstreamError `breakerOpen`, except for one probe at a time when it is due. */
  enter(): BreakerPermit {
    this.check();
    let isOver = false;
    const once = (end: () => void): void => {
      if (isOver) return;
      isOver = true;
      if (this.#probe === permit) this.#probe = undefined;
      end();
    };
    const isProbe = this.isOpen;
    const permit: BreakerPermit = {
      succeeded: () => once(() => this.#close()),
      failed: (error) => once(() => this.#failed(error, isProbe)),
      abandoned: () => once(() => undefined),
    };
    if (isProbe) this.#probe = permit;
    return permit;
  }

  #failed(error: UpstreamError, isProbe: boolean): void {
    const weight = weightOf(error);
    if (weight === 'none') return;
    this.#failuresInRow++;
    const nowMs = this.#options.clock.monotonic();
    const askedMs = Math.min(error.retryAfterMs ?? 0, longestRetryAfterMs);
    if (this.isOpen && !isProbe) {
      // One that left before the breaker opened. It says when to come back, but not that a probe has failed.
      this.#probeAtMs = Math.max(this.#probeAtMs ?? 0, askedMs === 0 ? 0 : nowMs + askedMs);
      return;
    }
    if (!isProbe && weight === 'counts' && this.#failuresInRow < toleratedServerErrors) return;
    const wasOpen = this.isOpen;
    // Upwards only: nobody is asked earlier than they said, and not by everybody at the same moment.
    const spread = 1 + 0.1 * (this.#options.random ?? Math.random)();
    this.#probeAtMs = nowMs + Math.max(askedMs, this.#pauseMs) * spread;
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
    if (!wasOpen) this.#options.onChange?.(true);
  }

  #close(): void {
    const wasOpen = this.isOpen;
    this.#failuresInRow = 0;
    this.#pauseMs = firstPauseMs;
    this.#probeAtMs = undefined;
    if (wasOpen) this.#options.onChange?.(false);
  }
}

function weightOf(error: UpstreamError): Weight {
  switch (error.kind) {
    case 'unreachable':
    case 'tls':
    case 'timeout':
    case 'rateLimited':
    case 'credentialRefused':
      return 'opens';
    case 'serverError':
      return error.retryAfterMs === undefined ? 'counts' : 'opens';
    case 'badResponse':
      return 'counts';
    case 'notFound':
    case 'denied':
    case 'tooLarge':
    case 'rangeRefused':
    case 'redirectRefused':
    case 'unsupported':
    case 'breakerOpen':
    case 'offline':
    case 'exhausted':
    case 'cut':
    case 'preempted':
    case 'aborted':
      return 'none';
  }
}
