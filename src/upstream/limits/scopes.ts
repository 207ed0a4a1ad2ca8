/**
 * What failures of several questions say about more than themselves. Two scopes, of a repository and kind and of a kind,
 * are slowed, never closed: whatever is well in them is found by asking, and its first answer ends it. And an endpoint
 * that only fails is asked slowly as a whole.
 */
import { type Gate, PacedGate } from './gate.ts';
import { lruOf } from '../../lib/lru.ts';
import { type Question, questionKey, repositoryAndKind } from '../contract/question.ts';

/** So many different members have to fail. One that fails often is one fact. */
const slowedBy = 3;
const slowedIntervalMs = 1_000;
const failingIntervalMs = 500;
const failingWindowMs = 10_000;
const maxRepositories = 4_096;

interface Scope {
  /** Members that have failed since anything in here was answered. */
  readonly failed: Set<string>;
  readonly gate: Gate;
}

export class Scopes {
  readonly #monotonic: () => number;
  readonly #repositories = lruOf<string, Scope>(maxRepositories);
  readonly #kinds = new Map<string, Scope>();
  #failedAtMs = -Infinity;
  #answeredAtMs = -Infinity;
  readonly #whole: Gate;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
    this.#whole = new PacedGate(failingIntervalMs, monotonic, () => this.isFailing);
  }

  /** When anything was answered last, monotonic; -Infinity before the first time. */
  get answeredAtMs(): number {
    return this.#answeredAtMs;
  }

  /** The last 10 s brought failures, and no answer. */
  get isFailing(): boolean {
    const sinceMs = this.#monotonic() - failingWindowMs;
    return this.#failedAtMs > sinceMs && this.#answeredAtMs <= sinceMs;
  }

  /** What holds this question back, if it is on. */
  gates(question: Question): readonly Gate[] {
    return [this.#repository(question).gate, this.#kind(question).gate, this.#whole];
  }

  failed(question: Question): void {
    this.#failedAtMs = this.#monotonic();
    this.#add(this.#repository(question), questionKey(question));
    this.#add(this.#kind(question), repositoryAndKind(question));
  }

  /** True when that lets others pass. */
  answered(question: Question): boolean {
    const wasFailing = this.isFailing;
    this.#answeredAtMs = this.#monotonic();
    const scopes = [this.#repository(question), this.#kind(question)];
    const isNews = wasFailing || scopes.some(({ failed }) => failed.size >= slowedBy);
    for (const { failed } of scopes) failed.clear();
    return isNews;
  }

  #add({ failed }: Scope, member: string): void {
    if (failed.size < slowedBy) failed.add(member);
  }

  #repository(question: Question): Scope {
    const key = repositoryAndKind(question);
    const known = this.#repositories.get(key);
    if (known !== undefined) return known;
    const made = this.#scope();
    this.#repositories.set(key, made);
    return made;
  }

  #kind({ kind }: Question): Scope {
    const known = this.#kinds.get(kind) ?? this.#scope();
    this.#kinds.set(kind, known);
    return known;
  }

  #scope(): Scope {
    const failed = new Set<string>();
    return { failed, gate: new PacedGate(slowedIntervalMs, this.#monotonic, () => failed.size >= slowedBy) };
  }
}
