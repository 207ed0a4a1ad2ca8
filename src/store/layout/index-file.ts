/**
 * index.json: every cached tag, for tools that read the root as an OCI image layout, and for weir itself when it has lost
 * its catalog. Follows the catalog with a delay, and is rewritten whole each time.
 *
 * Denied tags are left out: a rebuilt catalog would not know any more that they must not be served. What they led to, and
 * every other linked manifest, has an entry without a name, which says on whose word it is linked where.
 */
import { setImmediate } from 'node:timers/promises';
import { writeFileAtomic } from '../../lib/files/atomic-file.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import { type LayoutEntry, layoutIndexPieces } from '../../oci/layout.ts';
import type { Metadata } from '../metadata/metadata.ts';
import { originText } from '../contract/origin.ts';
import { refName, repositoryName } from './ref-name.ts';

/** When the upstream had last confirmed the binding, as of this writing: epoch milliseconds. */
export const checkedAtAnnotation = 'weir.checked-at-ms';

/** It names every repository and tag: for weir, and for the group that an operator gives the root to. */
const indexMode = 0o640;

/** On whose word the tag's manifest is linked (`originText`): a root that lost its catalog publishes nothing. */
export const originAnnotation = 'weir.origin';

/** Where a manifest is linked that no tag leads to (`repositoryName`). */
export const repositoryAnnotation = 'weir.repository';

const delayMs = 1000;
/** With very many tags, writing may take at most this share of the time. */
const restFactor = 20;

export interface IndexFileOptions {
  readonly path: string;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class IndexFile {
  readonly #options: IndexFileOptions;
  #isChanged = false;
  #isHeld = false;
  #isClosed = false;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #restMs = delayMs;

  constructor(options: IndexFileOptions) {
    this.#options = options;
    options.metadata.tags.onChanged(() => this.schedule());
  }

  /** Something changed: the file follows within a second, or a little later when there are very many tags. */
  schedule(): void {
    this.#isChanged = true;
    if (this.#isHeld || this.#isClosed) return;
    this.#timer ??= this.#options.clock.setTimer(this.#restMs, () => {
      // Owned by #writing, which flush and close wait for; it never rejects.
      void this.flush();
    });
  }

  /** Leaves the file as it is until `release`: a catalog that is being rebuilt from it knows less than it. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.schedule();
  }

  /** Writes now what has not been written. Never rejects: a failure is logged, and the next change tries again. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** Flushes. Idempotent. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.flush();
  }

  async #write(): Promise<void> {
    if (!this.#isChanged || this.#isHeld) return;
    const { path, clock, logger } = this.#options;
    const startedMs = clock.monotonic();
    this.#isChanged = false;
    try {
      await writeFileAtomic(path, this.#text(), { mode: indexMode });
    } catch (error) {
      this.#isChanged = true;
      logger.warn({ path, err: error }, 'index.json cannot be written; it stays as it was');
    }
    this.#restMs = Math.max(delayMs, restFactor * (clock.monotonic() - startedMs));
  }

  /** Other work gets its turn in between; a tag that changes meanwhile causes another write. */
  async *#text(): AsyncGenerator<string, void> {
    for (const piece of layoutIndexPieces(this.#entries())) {
      yield piece;
      await setImmediate();
    }
  }

  *#entries(): Generator<LayoutEntry | undefined, void> {
    const named = new Map<string, Set<Digest>>();
    for (const {
      isDenied,
      mediaType,
      digest,
      sizeBytes,
      checkedAtMs,
      origin,
      ...key
    } of this.#options.metadata.tags.all()) {
      if (isDenied) continue;
      const annotations = { [checkedAtAnnotation]: String(checkedAtMs), [originAnnotation]: originText(origin) };
      yield { descriptor: { mediaType, digest, size: sizeBytes, annotations }, refName: refName(key) };
      const repository = repositoryName(key);
      const digests = named.get(repository) ?? new Set();
      named.set(repository, digests.add(digest));
    }
    for (const page of this.#options.metadata.topManifests()) {
      for (const { mediaType, digest, sizeBytes, origin, ...key } of page) {
        const repository = repositoryName(key);
        if (named.get(repository)?.has(digest) === true) continue;
        const annotations = { [repositoryAnnotation]: repository, [originAnnotation]: originText(origin) };
        yield { descriptor: { mediaType, digest, size: sizeBytes, annotations } };
      }
      yield undefined;
    }
  }
}
