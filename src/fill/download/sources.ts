/**
 * Through which repositories one digest can be asked for, and what the upstream has shown about itself while it was. A
 * fill keeps the repository of each of its readers: a refusal for one of them says nothing about the others.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Party } from '../../lib/sharing/party.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import type { UpstreamError } from '../../upstream/contract/errors.ts';
import type { TransferSlot } from '../../upstream/contract/transfer-slot.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import type { BodySource } from './resume.ts';
import type { Linker, Word } from '../contract/linker.ts';

export interface SourcesOptions {
  readonly upstream: Upstream;
  readonly digest: Digest;
  readonly clock: Clock;
  readonly repository: Repository;
  readonly party: Party;
  readonly avoidEndpoints?: Iterable<string>;
  /** A good answer came. Returns false when its size contradicts what is known. */
  readonly onAccept: (sizeBytes: number | undefined) => boolean;
  readonly onRefused?: (repository: Repository, error: UpstreamError) => void;
  readonly onResumed?: () => void;
}

export class Sources implements BodySource {
  readonly upstream: Upstream;
  readonly digest: Digest;
  readonly clock: Clock;
  readonly party: Party;
  readonly avoidEndpoints: Set<string>;
  readonly usedEndpoints = new Set<string>();
  isPieced = false;
  ignoresRange = false;
  /** Bytes are coming, and nobody knows how many: they cannot be asked for by ranges. */
  #isUnsized = false;
  #slot: TransferSlot | undefined;
  readonly #options: SourcesOptions;
  readonly #repositories: Set<Repository>;
  /** What the upstream said when it gave bytes, by repository. Links are made of it when the bytes are proved. */
  readonly #words = new Map<Repository, Word>();
  #hasStarted = false;
  #isExhausted = false;
  #resumes = 0;

  constructor(options: SourcesOptions) {
    this.upstream = options.upstream;
    this.digest = options.digest;
    this.clock = options.clock;
    this.party = options.party;
    this.avoidEndpoints = new Set(options.avoidEndpoints);
    this.#options = options;
    this.#repositories = new Set([options.repository]);
  }

  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get isResumable(): boolean {
    return !this.ignoresRange && !this.#isUnsized;
  }

  /** Waits for leave to open the first body. Give it back by `release` if nothing is opened in the end. */
  async reserve(signal: AbortSignal): Promise<void> {
    this.#slot = await this.upstream.transfer({ party: this.party, mayBeTaken: () => this.isResumable }, signal);
  }

  takeSlot(): TransferSlot | undefined {
    const slot = this.#slot;
    this.#slot = undefined;
    return slot;
  }

  release(): void {
    this.takeSlot()?.release();
  }

  /** How often a transfer was continued. */
  get resumes(): number {
    return this.#resumes;
  }

  /** Their bytes were wrong: whoever contributed some is asked last from now on. */
  distrustUsed(): void {
    for (const endpoint of this.usedEndpoints) this.avoidEndpoints.add(endpoint);
    // Whoever gave some of them has given nothing of the blob yet.
    this.#words.clear();
  }

  /** The last one was refused: the fill ends, and says nothing about any other. */
  get isExhausted(): boolean {
    return this.#isExhausted;
  }

  exhausted(): void {
    this.#isExhausted = true;
  }

  has(repository: Repository): boolean {
    return this.#repositories.has(repository);
  }

  add(repository: Repository): void {
    this.#repositories.add(repository);
  }

  /** The upstream gave bytes through this repository. */
  hasWord(repository: Repository): boolean {
    return this.#words.has(repository);
  }

  /** The bytes are proved. */
  link(rights: Linker): void {
    const { key: upstream } = this.upstream;
    for (const [repository, word] of this.#words) rights.gave({ upstream, repository }, this.digest, 'blob', word);
  }

  /** Bytes are there already, so a failure from now on is an interruption. */
  start(): void {
    this.#hasStarted = true;
  }

  repository(): Repository {
    for (const repository of this.#repositories) return repository;
    // `sourceFailed` never empties the set.
    throw new Error('a fill without a repository');
  }

  sourceFailed(repository: Repository, error: UpstreamError): boolean {
    this.#options.onRefused?.(repository, error);
    const isLast = this.#repositories.size === 1 && this.#repositories.has(repository);
    if (!isLast) this.#repositories.delete(repository);
    return !isLast;
  }

  accept(repository: Repository, sizeBytes: number | undefined, shown?: string): boolean {
    if (!this.#options.onAccept(sizeBytes)) return false;
    this.#words.set(repository, { shown });
    this.#hasStarted = true;
    this.#isUnsized = sizeBytes === undefined;
    return true;
  }

  resumed(): void {
    this.#resumes += 1;
    this.#options.onResumed?.();
  }
}
