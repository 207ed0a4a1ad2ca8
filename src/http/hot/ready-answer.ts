/**
 * A whole answer made ready, so that giving it again costs one string and one write. Only what differs from one request to
 * the next is put in: the request's id, the date, and how long a tag is fresh.
 */
import { STATUS_CODES } from 'node:http';
import type { LeasedAnswer } from '../../cache/contract/cache.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ChangeCounters, Stamp } from '../../lib/change-counters.ts';
import { type AccessTemplate, accessTemplate } from '../request/access-log.ts';
import type { HttpEvents } from '../v2/context.ts';
import type { RequestKind } from '../request/exchange.ts';
import { isFieldValue } from '../../headers/field-value.ts';
import { completeHeaders, type HeaderList } from '../request/respond.ts';

export interface ReadyOptions {
  readonly method: 'GET' | 'HEAD';
  readonly kind: RequestKind;
  readonly upstream: string;
  readonly repository: string;
  readonly reference: string;
  readonly host: string;
  readonly userAgent: string | undefined;
  /** As the request says it, for whoever is trusted to say so. */
  readonly forwardedFor?: string | undefined;
  readonly namespace: string | undefined;
  /** All but those that every answer has. */
  readonly headers: HeaderList;
  readonly leased: LeasedAnswer;
  /** Seconds that an idle connection is kept. */
  readonly keepAliveSeconds: number;
  readonly clock: Clock;
}

/** Stands in for the id until there is one; no header can hold it. */
const idMark = '\u0000';

export class ReadyAnswer {
  /** What it weighs in memory, about. */
  readonly weight: number;
  readonly #options: ReadyOptions;
  readonly #stamp: Stamp;
  readonly #madeMs: number;
  readonly #madeWallMs: number;
  readonly #event: Parameters<HttpEvents['requestEnded']>[0];
  readonly #line: AccessTemplate;
  readonly #body: string;
  #second = -1;
  #beforeId = '';
  #afterId = '';

  /** Undefined when a header could not be written as it is: node:http then refuses it. */
  static of(options: ReadyOptions): ReadyAnswer | undefined {
    const { headers, namespace = '' } = options;
    return [...headers, namespace].every(isFieldValue) ? new ReadyAnswer(options) : undefined;
  }

  private constructor(options: ReadyOptions) {
    const { leased, clock, method, kind, upstream } = options;
    this.#options = options;
    this.#stamp = leased.stamp;
    this.#madeMs = clock.monotonic();
    this.#madeWallMs = clock.now();
    // One string for head and body leaves in one write; latin1 keeps every byte.
    this.#body = leased.bytes === undefined ? '' : Buffer.from(leased.bytes).toString('latin1');
    const bytes = method === 'HEAD' ? 0 : this.#body.length;
    this.#event = { upstream, kind, method, outcome: 'hit', code: 200, seconds: 0, bytes };
    this.#line = accessTemplate({ ...options, status: 200, bytes, outcome: 'hit' });
    this.weight = 2048 + 2 * this.#body.length;
  }

  /** Of each request that it answers: their heads are the same. */
  get forwardedFor(): string | undefined {
    return this.#options.forwardedFor;
  }

  /** Whether it may be given now. Both clocks count: one stands still while a machine sleeps, the other can be set. */
  isCurrent(changes: ChangeCounters, monotonicMs: number, wallMs: number): boolean {
    const ageMs = Math.max(monotonicMs - this.#madeMs, Math.abs(wallMs - this.#madeWallMs));
    return ageMs < this.#options.leased.holdsMs && changes.isCurrent(this.#stamp);
  }

  /** Head and body for the request `id`, as latin1. */
  text(id: string, wallMs: number): string {
    const second = Math.floor(wallMs / 1000);
    if (second !== this.#second) this.#render(second, wallMs);
    return this.#beforeId + id + this.#afterId;
  }

  ended(seconds: number): Parameters<HttpEvents['requestEnded']>[0] {
    return { ...this.#event, seconds };
  }

  line(id: string, seconds: number, wallMs: number): string {
    return this.#line(id, seconds, wallMs);
  }

  #render(second: number, wallMs: number): void {
    const { headers, leased, namespace, method, keepAliveSeconds } = this.#options;
    const { freshMs } = leased;
    const leftMs = freshMs === undefined ? undefined : freshMs - (wallMs - this.#madeWallMs);
    const outcome: Outcome =
      leftMs === undefined ? { kind: 'hit' } : { kind: 'hit', ttlSeconds: Math.max(0, Math.ceil(leftMs / 1000)) };
    const list = completeHeaders({ id: idMark, outcome, namespace }, [
      ...headers,
      'Content-Length',
      String(leased.sizeBytes),
    ]);
    list.push('Date', new Date(second * 1000).toUTCString(), 'Connection', 'keep-alive');
    list.push('Keep-Alive', `timeout=${keepAliveSeconds}`);
    let head = `HTTP/1.1 200 ${STATUS_CODES[200]}\r\n`;
    for (let i = 0; i < list.length; i += 2) head += `${list[i]}: ${list[i + 1]}\r\n`;
    const [before = '', after = ''] = `${head}\r\n`.split(idMark);
    this.#second = second;
    this.#beforeId = before;
    this.#afterId = method === 'HEAD' ? after : after + this.#body;
  }
}
