/**
 * Questions that an upstream has left without an answer for too long. Once there is one, nobody who has an old answer
 * waits for that upstream, until it has answered something that was asked later. Shared by all who ask, or a client would wait once for each thing that it needs.
 */
export class Overdue {
  readonly #questions = new Map<string, Set<object>>();
  /** When something was answered last, monotonic. */
  readonly #answeredMs = new Map<string, number>();

  isSilent(upstream: string): boolean {
    return (this.#questions.get(upstream)?.size ?? 0) > 0;
  }

  /** `sentMs` monotonic. */
  add(upstream: string, question: object, sentMs: number): void {
    if (sentMs < (this.#answeredMs.get(upstream) ?? -Infinity)) return;
    const questions = this.#questions.get(upstream) ?? new Set();
    this.#questions.set(upstream, questions.add(question));
  }

  /** Something was answered, at `nowMs`: what is late was sent before, and says nothing about the upstream. */
  answered(upstream: string, nowMs: number): void {
    this.#answeredMs.set(upstream, nowMs);
    this.#questions.delete(upstream);
  }

  /** It was answered, or has failed. */
  delete(upstream: string, question: object): void {
    this.#questions.get(upstream)?.delete(question);
  }
}
