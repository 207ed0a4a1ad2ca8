/**
 * Questions that an upstream has left without an answer for too long. Once there is one, nobody who has an old answer
 * waits for that upstream. Shared by all who ask, or a client would wait once for each thing that it needs.
 */
export class Overdue {
  readonly #questions = new Map<string, Set<object>>();

  isSilent(upstream: string): boolean {
    return (this.#questions.get(upstream)?.size ?? 0) > 0;
  }

  add(upstream: string, question: object): void {
    const questions = this.#questions.get(upstream) ?? new Set();
    this.#questions.set(upstream, questions.add(question));
  }

  /** It was answered, or has failed. */
  delete(upstream: string, question: object): void {
    this.#questions.get(upstream)?.delete(question);
  }
}
