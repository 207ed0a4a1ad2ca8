/**
 * Whether what an endpoint says to HEAD of a manifest is what it would say to GET. Nexus, old Harbors and proxies of
 * companies refuse HEAD of what they have; everywhere else HEAD is right, and free where GET counts as a pull.
 */
import type { UpstreamError } from '../contract/errors.ts';
import { lruOf } from '../../lib/lru.ts';

/** A HEAD that was answered counts for this long, milliseconds. */
const provenMs = 24 * 60 * 60_000;
/** A HEAD that GET has contradicted is not used for this long, milliseconds. */
const uselessMs = 60 * 60_000;
/** A GET so soon after a refused HEAD contradicts it, milliseconds; later, somebody may have pushed. */
const contradictionMs = 5000;
const maxRemembered = 8192;

/** Times are monotonic. A key names a repository, a reference and who asks. */
export class HeadTrust {
  #provenUntilMs = -Infinity;
  #uselessUntilMs = -Infinity;
  /** When HEAD was refused. */
  readonly #refusedAtMs = lruOf<string, number>(maxRemembered);
  /** What was had: a refusal that says otherwise is looked into, once. */
  readonly #had = lruOf<string, true>(maxRemembered);

  isUseless(nowMs: number): boolean {
    return nowMs < this.#uselessUntilMs;
  }

  /** HEAD was answered. */
  proved(key: string, nowMs: number): void {
    this.#provenUntilMs = nowMs + provenMs;
    this.#had.set(key, true);
  }

  /** Whether this refusal of HEAD counts, or GET has to be asked. */
  believes(key: string, { status }: UpstreamError, nowMs: number): boolean {
    const isProven = nowMs < this.#provenUntilMs;
    const wasHad = this.#had.delete(key);
    // Where HEAD is right as a rule, a server that stumbles once says nothing about the method.
    if (status === 500 && isProven) return false;
    this.#refusedAtMs.set(key, nowMs);
    return isProven && !wasHad && (status === 401 || status === 403 || status === 404);
  }

  /** GET was answered. */
  got(key: string, nowMs: number): void {
    this.#had.set(key, true);
    const refusedAtMs = this.#refusedAtMs.get(key);
    this.#refusedAtMs.delete(key);
    if (refusedAtMs === undefined || nowMs - refusedAtMs > contradictionMs) return;
    this.#uselessUntilMs = nowMs + uselessMs;
    this.#provenUntilMs = -Infinity;
  }
}

/** A refusal that may be about the method. A limit, a credential, a gateway's outage are about something else. */
export function isHeadRefusal({ kind, status }: UpstreamError): boolean {
  if (status === undefined || kind === 'rateLimited' || kind === 'credentialRefused') return false;
  return (status >= 400 && status <= 501) || status === 505;
}
