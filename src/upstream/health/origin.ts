/**
 * Whether one origin can be asked at all. It is *down* when no connection to it stands, or when it is silent even to
 * weir's own `GET /v2/`; nothing else closes anything, and one answer to anybody ends it. While it is down, only weir's
 * own question goes there, never a client's, which may be the one that hangs.
 */
import { abortReason } from '../../lib/abort.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { UpstreamError } from '../contract/errors.ts';

/** `silent`: nothing came · `other`: something came that is no HTTP answer, or nobody waited to the end. */
export type ProbeResult = 'answered' | 'unreachable' | 'silent' | 'other';

export interface OriginHealthOptions {
  /** The upstream's key, for errors. */
  readonly upstream: string;
  /** The origin, for errors. */
  readonly place: string;
  readonly clock: Pick<Clock, 'monotonic' | 'setTimer'>;
  /** weir's own question, on a new connection. Never rejects, and takes 8 s at most. */
  readonly probe: () => Promise<ProbeResult>;
  /** Storage has no `/v2/`: it is silent when two of its objects are. */
  readonly isStorage: boolean;
  readonly onChange: (isDown: boolean) => void;
}

/** Leave to ask once. One of its methods is called when it is over; later calls do nothing. */
export interface OriginPermit {
  /** A head came, whatever it says. */
  answered(): void;
  /** `hasConnected` false: no connection came about. */
  failed(hasConnected: boolean): void;
}

/** So late a question is worth a look at its origin. */
const lateMs = 8_000;
/** At a start weir looks by itself when nothing has been answered for so long: one question then tells for all. */
const firstLookMs = 1_000;
const firstPauseMs = 5_000;
const laterPauseMs = 10_000;
/** Under way until anything has been answered, weir's own question included; so there are no more dials either. */
const maxAtStart = 3;

export class OriginHealth {
  readonly #options: OriginHealthOptions;
  readonly #queue = new Set<() => void>();
  /** Monotonic; undefined until the first one. */
  #answeredAtMs: number | undefined;
  #underWay = 0;
  #firstLook: Timer | undefined;
  #probing: Promise<ProbeResult> | undefined;
  /** Monotonic time at which the next probe may go; undefined while it is not down. */
  #nextProbeMs: number | undefined;
  #lateObjects = new Set<string>();

  constructor(options: OriginHealthOptions) {
    this.#options = options;
  }

  get isDown(): boolean {
    return this.#nextProbeMs !== undefined;
  }

  /** Throws what `enter` would throw now, also when a probe is due if nobody `isAwaited`. */
  check(isAwaited = true): void {
    if (this.#nextProbeMs === undefined) return;
    const leftMs = this.#nextProbeMs - this.#options.clock.monotonic();
    if (leftMs > 0 || this.#probing !== undefined || !isAwaited) throw this.#down();
  }

  /**
   * Resolves when `object` may be asked for. Rejects with UpstreamError `breakerOpen` while the origin is down; the first
   * who comes when a probe is due waits for that. Rejects with the signal's reason.
   */
  async enter(object: string, signal: AbortSignal): Promise<OriginPermit> {
    for (;;) {
      if (signal.aborted) throw abortReason(signal);
      if (this.isDown) {
        this.check();
        await this.#probe();
        if (this.isDown) throw this.#down();
      } else if (
        this.#answeredAtMs !== undefined ||
        this.#underWay + (this.#probing === undefined ? 0 : 1) < maxAtStart
      ) {
        return this.#permit(object);
      } else await this.#turn(signal);
    }
  }

  close(): void {
    this.#firstLook?.cancel();
    this.#firstLook = undefined;
    this.#wakeAll();
  }

  #permit(object: string): OriginPermit {
    const { clock } = this.#options;
    const sentAtMs = clock.monotonic();
    this.#underWay++;
    if (this.#answeredAtMs === undefined) this.#firstLook ??= clock.setTimer(firstLookMs, () => this.#look(sentAtMs));
    const timer = clock.setTimer(lateMs, () => this.#late(object, sentAtMs));
    let isOver = false;
    const once = (end: () => void): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      this.#underWay--;
      if (this.#underWay === 0) this.#forgetFirstLook();
      end();
      this.#wakeOne();
    };
    return {
      answered: () => once(() => this.#up()),
      failed: (hasConnected) => once(() => hasConnected || this.#goDown(sentAtMs)),
    };
  }

  #up(): void {
    const wasDown = this.isDown;
    this.#answeredAtMs = this.#options.clock.monotonic();
    this.#nextProbeMs = undefined;
    this.#lateObjects.clear();
    this.#forgetFirstLook();
    this.#wakeAll();
    if (wasDown) this.#options.onChange(false);
  }

  /** Unless something has been answered meanwhile: then it is not all connections that fail. */
  #goDown(sentAtMs: number): void {
    if (this.#answeredAtMs !== undefined && this.#answeredAtMs > sentAtMs) return;
    const wasDown = this.isDown;
    this.#nextProbeMs = this.#options.clock.monotonic() + (wasDown ? laterPauseMs : firstPauseMs);
    this.#forgetFirstLook();
    this.#wakeAll();
    if (!wasDown) this.#options.onChange(true);
  }

  #late(object: string, sentAtMs: number): void {
    if (this.isDown || (this.#answeredAtMs ?? -Infinity) > sentAtMs) return;
    if (!this.#options.isStorage) return this.#look(sentAtMs);
    this.#lateObjects.add(object);
    if (this.#lateObjects.size > 1) this.#goDown(sentAtMs);
  }

  #look(sentAtMs: number): void {
    this.#firstLook?.cancel();
    if (this.#options.isStorage || this.isDown || (this.#answeredAtMs ?? -Infinity) > sentAtMs) return;
    // Owned: it never rejects.
    void this.#probe();
  }

  async #probe(): Promise<void> {
    const startedMs = this.#options.clock.monotonic();
    this.#probing ??= this.#options.probe();
    const probing = this.#probing;
    const result = await probing;
    if (this.#probing !== probing) return;
    this.#probing = undefined;
    if (result === 'answered') this.#up();
    else if (this.isDown || result === 'unreachable' || result === 'silent') this.#goDown(startedMs);
    this.#wakeOne();
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.#queue.delete(go);
        signal.removeEventListener('abort', go);
        resolve();
      };
      this.#queue.add(go);
      signal.addEventListener('abort', go, { once: true });
    });
  }

  #wakeOne(): void {
    for (const go of this.#queue) return go();
  }

  #wakeAll(): void {
    for (const go of this.#queue) go();
  }

  #forgetFirstLook(): void {
    this.#firstLook?.cancel();
    this.#firstLook = undefined;
  }

  #down(): UpstreamError {
    const { upstream, place, clock } = this.#options;
    const retryAfterMs = Math.max((this.#nextProbeMs ?? 0) - clock.monotonic(), 1_000);
    return new UpstreamError('breakerOpen', `${upstream} is not asked: ${place} does not answer`, {
      upstream,
      retryAfterMs,
    });
  }
}
