/** Sends what its origin can be asked for, and tells the health of that origin what became of it. */
import type { Clock } from '../../lib/clock.ts';
import { trimmedEnd } from '../../lib/trim.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { lruOf } from '../../lib/lru.ts';
import { OriginHealth, type ProbeResult } from './origin.ts';
import { withoutSecrets } from '../network/origin.ts';
import type { OutgoingRequest, Sender } from '../exchange/sender.ts';

export interface OriginsOptions {
  readonly upstream: string;
  readonly clock: Clock;
  /** An origin has gone down or come back. */
  readonly onChange: (origin: string, isDown: boolean) => void;
}

/** Redirects can name origins without end. */
const maxOrigins = 256;
const probeTimeoutMs = 8_000;

/** The health of every origin that one upstream has led to. */
export class Origins {
  readonly #options: OriginsOptions;
  readonly #health = lruOf<string, OriginHealth>(maxOrigins);

  constructor(options: OriginsOptions) {
    this.#options = options;
  }

  get upstream(): string {
    return this.#options.upstream;
  }

  /** The health of the origin of `url`, which weir itself asks by `sender`, below `base`. */
  of(url: URL, sender: Sender, isStorage = false, base: URL = new URL(url.origin)): OriginHealth {
    const { upstream, clock, onChange } = this.#options;
    const known = this.#health.get(url.origin);
    if (known !== undefined) return known;
    const made = new OriginHealth({
      upstream,
      place: url.origin,
      clock,
      isStorage,
      probe: () => probe(base, sender),
      onChange: (isDown) => onChange(url.origin, isDown),
    });
    this.#health.set(url.origin, made);
    return made;
  }

  close(): void {
    for (const health of this.#health.values()) health.close();
  }
}

export function watched(sender: Sender, origins: Origins): Sender {
  return {
    async send(request, signal) {
      const health = origins.of(request.url, sender, request.isStorage);
      const permit = await health.enter(withoutSecrets(request.url), signal).catch((cause: unknown) => {
        if (cause instanceof UpstreamError) throw cause;
        throw failure('aborted', origins.upstream, 'given up by the caller', cause);
      });
      try {
        const response = await sender.send(request, signal);
        permit.answered();
        return response;
      } catch (error) {
        // What this machine lacks says nothing about the place.
        permit.failed(!(error instanceof UpstreamError && error.isDial && error.kind !== 'exhausted'));
        throw error;
      }
    },
    close: () => sender.close(),
  };
}

/** Without a credential, because it is about the place and not about anything in it. */
async function probe(base: URL, sender: Sender): Promise<ProbeResult> {
  const request: OutgoingRequest = {
    method: 'GET',
    url: new URL(`${trimmedEnd(base.href, '/')}/v2/`),
    headers: { 'accept-encoding': 'identity', 'user-agent': 'weir', connection: 'close' },
    credentialSet: 'anonymous',
    headTimeoutMs: probeTimeoutMs,
    isFresh: true,
  };
  try {
    const response = await sender.send(request, new AbortController().signal);
    response.abort();
    return 'answered';
  } catch (error) {
    if (!(error instanceof UpstreamError)) return 'other';
    if (error.kind === 'exhausted') return 'other';
    if (error.isDial) return 'unreachable';
    return error.kind === 'timeout' ? 'silent' : 'other';
  }
}
