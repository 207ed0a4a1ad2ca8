/** What the handlers of `/v2/` need, made once by the composition root. */
import type { Cache } from '../../cache/contract/cache.ts';
import type { OutcomeLabel } from '../../headers/cache-status.ts';
import type { ClientAddresses } from '../../lib/sharing/client-address.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Router } from '../../routing/router.ts';
import type { Backlogs } from '../listener/backlogs.ts';
import type { BodyTools } from '../body/body.ts';
import type { RequestKind } from '../request/exchange.ts';

/** What requests report when they end; metrics implements it. Called synchronously and must not throw. */
export interface HttpEvents {
  requestEnded(event: {
    /** Undefined when no configured upstream was meant. */
    readonly upstream: string | undefined;
    readonly kind: RequestKind;
    /** As the client sent it. */
    readonly method: string;
    readonly outcome: OutcomeLabel;
    /** 499 when the client left before a head. */
    readonly code: number;
    readonly seconds: number;
    /** Body bytes that the client's socket took. */
    readonly bytes: number;
  }): void;
}

export interface FrontDeps {
  readonly cache: Cache;
  readonly router: Router;
  /** Tells one client from another. */
  readonly clients: ClientAddresses;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: HttpEvents;
  readonly body: BodyTools;
  readonly backlogs: Backlogs;
  /** Milliseconds for which a client may take nothing of an answer from memory. Default 30,000. */
  readonly stallMs?: number | undefined;
  /** Takes the line of each request, JSON with its newline; undefined for none. Must not throw. */
  readonly accessLog: ((line: string) => void) | undefined;
  /** Milliseconds until a request that still waits is answered with 504. Clients give up after 30 s. */
  readonly headDeadlineMs: number;
}
