/** A second try for answers whose heads are loose but clear (`loose-head.ts`), and from then on the first one there. */
import type { Clock } from '../../lib/clock.ts';
import { UpstreamError } from '../contract/errors.ts';
import { lruOf } from '../../lib/lru.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from './sender.ts';

export interface LenientSenderOptions {
  readonly strict: Sender;
  /** Heeds `onLoose`. The same as `strict`, or behind it: it is closed by that one. */
  readonly direct: Sender;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Each answer then costs a connection, so a server that was mended is found out. */
const forgetMs = 60 * 60_000;
/** Redirects can name origins without end. */
const maxOrigins = 256;

export class LenientSender implements Sender {
  readonly #options: LenientSenderOptions;
  /** Origins that answered so, and when that was found, monotonic. */
  readonly #loose = lruOf<string, number>(maxOrigins);

  constructor(options: LenientSenderOptions) {
    this.#options = options;
  }

  async send(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse> {
    const { strict } = this.#options;
    if (this.#isLoose(request.url.origin)) return this.#again(request, signal);
    try {
      return await strict.send(request, signal);
    } catch (error) {
      const isClear = error instanceof UpstreamError && error.isFraming && request.method !== 'POST';
      if (!isClear || signal.aborted) throw error;
      return this.#again(request, signal);
    }
  }

  close(): Promise<void> {
    return this.#options.strict.close();
  }

  #isLoose(origin: string): boolean {
    const sinceMs = this.#loose.get(origin);
    return sinceMs !== undefined && this.#options.clock.monotonic() - sinceMs < forgetMs;
  }

  #again(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse> {
    const { direct, clock } = this.#options;
    const { origin } = request.url;
    const onLoose = (): void => {
      if (!this.#isLoose(origin)) this.#loose.set(origin, clock.monotonic());
    };
    return direct.send({ ...request, worker: undefined, onLoose }, signal);
  }
}
