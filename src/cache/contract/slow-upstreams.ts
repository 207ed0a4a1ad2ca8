/**
 * Questions that an upstream has left without an answer for too long. Once there is one, nobody who has an old answer
 * waits for that upstream, until it has answered something since. Shared by all who ask, or a client would wait once for
 * each thing that it needs.
 */

/**
 * So long after the last look that brought nothing its silence is believed, in milliseconds. Each look in an outage renews
 * it; who comes much later waits again, since the outage may long be over.
 */
const believedMs = 60_000;

interface Silence {
  /** When the last of its questions was sent, monotonic. */
  sentMs: number;
  /** Those that still run. */
  readonly running: Set<object>;
  /** Monotonic. */
  untilMs: number;
}

export class SlowUpstreams {
  readonly #silences = new Map<string, Silence>();
  /** When something was answered last, monotonic. */
  readonly #answeredMs = new Map<string, number>();
  readonly #answeredAtMs: (upstream: string) => number | undefined;

  /** `answeredAtMs`: when an upstream answered anything to anybody, monotonic. */
  constructor(answeredAtMs: (upstream: string) => number | undefined = () => undefined) {
    this.#answeredAtMs = answeredAtMs;
  }

  isSilent(upstream: string, nowMs: number): boolean {
    const silence = this.#silences.get(upstream);
    if (silence === undefined || this.#hasAnsweredSince(upstream, silence.sentMs)) return false;
    return silence.running.size > 0 || nowMs < silence.untilMs;
  }

  /** `sentMs` monotonic. */
  add(upstream: string, question: object, sentMs: number): void {
    if (this.#hasAnsweredSince(upstream, sentMs)) return;
    const silence = this.#silences.get(upstream) ?? { sentMs, running: new Set(), untilMs: -Infinity };
    silence.sentMs = Math.max(silence.sentMs, sentMs);
    silence.running.add(question);
    this.#silences.set(upstream, silence);
  }

  /** Something was answered, at `nowMs`: what is late was sent before, and says nothing about the upstream. */
  answered(upstream: string, nowMs: number): void {
    this.#answeredMs.set(upstream, nowMs);
    this.#silences.delete(upstream);
  }

  /** It was answered, or has failed. */
  delete(upstream: string, question: object): void {
    this.#silences.get(upstream)?.running.delete(question);
  }

  /** It has failed at `nowMs`, and nothing came. */
  unanswered(upstream: string, question: object, nowMs: number): void {
    const silence = this.#silences.get(upstream);
    if (silence?.running.delete(question) === true) silence.untilMs = nowMs + believedMs;
  }

  #hasAnsweredSince(upstream: string, sentMs: number): boolean {
    const answeredMs = Math.max(this.#answeredMs.get(upstream) ?? -Infinity, this.#answeredAtMs(upstream) ?? -Infinity);
    return answeredMs > sentMs;
  }
}
