/** A whole cache over one root and whatever upstreams a test has, life after life: what a restart keeps, and what it does not. */
import { rm } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { LeasedAnswer, PeekQuery } from '../../../src/cache/contract/cache.ts';
import { createCache, type RunningCache } from '../../../src/cache/create.ts';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import type { CacheEvents } from '../../../src/fill/contract/events.ts';
import type { UpstreamPolicy } from '../../../src/cache/contract/upstream-policy.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import type { Metadata } from '../../../src/store/metadata/metadata.ts';
import { type OpenedStore, openStore } from '../../../src/store/open.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { patienceMs } from '../../support/gate.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { repository } from '../../fill/support/engine.ts';
import { patient } from './policy-rig.ts';

export interface Got {
  /** `200`, or the kind of the error. */
  readonly status: string;
  readonly how?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly digest?: Digest | undefined;
  /** Something had to wait for the clock, which was turned: an answer in time may have come too late. */
  readonly hasWaited?: true;
}

type Work = (signal: AbortSignal) => Promise<Omit<Got, 'status'>>;

interface Leased {
  readonly answer: LeasedAnswer;
  readonly madeMs: number;
}

export interface LifeOptions {
  readonly upstreams: ReadonlyMap<string, UpstreamPolicy>;
  readonly offline: boolean;
  readonly isCatalogLost?: boolean;
}

const events: CacheEvents = new Proxy({} as CacheEvents, { get: () => (): void => undefined });

/** What a file takes at most on a machine that is at leisure; what takes longer waits for the clock. */
const leisureMs = 100;

export class CacheLife implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly #temp: TempDirectory;
  /** The upstreams live by the same clock, so that what waits for it has to be given time. */
  readonly #isClockShared: boolean;
  /** What a serving thread remembers; undefined when every question is asked. */
  readonly #leases: Map<string, Leased> | undefined;
  #opened: OpenedStore | undefined;
  #running: RunningCache | undefined;
  #upstreams: LifeOptions['upstreams'] = new Map();

  private constructor(temp: TempDirectory, isClockShared: boolean, isLeased: boolean) {
    this.#temp = temp;
    this.#isClockShared = isClockShared;
    this.#leases = isLeased ? new Map() : undefined;
  }

  /** Nothing runs before the first `restart`. */
  static async start({ isClockShared = false, isLeased = false } = {}): Promise<CacheLife> {
    return new CacheLife(await tempDirectory('life'), isClockShared, isLeased);
  }

  get metadata(): Metadata {
    if (this.#opened === undefined) throw new Error('not running');
    return this.#opened.metadata;
  }

  /** A path outside of the root. */
  file(name: string): string {
    return this.#temp.file(name);
  }

  /** What is leased is leased no more. */
  bumpAll(): void {
    this.#cache.changes.bumpAll();
  }

  async restart({ upstreams, offline, isCatalogLost = false }: LifeOptions): Promise<void> {
    await this.stop();
    const root = this.#temp.file('root');
    for (const suffix of isCatalogLost ? ['', '-wal', '-shm'] : []) {
      await rm(`${root}/weir/catalog.db${suffix}`, { force: true });
    }
    const { clock } = this;
    this.#opened = await openStore({ root, partialTtlMs: 86_400_000, clock, logger: silentLogger });
    await this.#opened.recovered;
    const { store, metadata } = this.#opened;
    this.#upstreams = upstreams;
    this.#running = createCache({
      store,
      metadata,
      upstreams,
      clock,
      logger: silentLogger,
      events,
      limits: { maxBytes: 2 ** 40, minFreeBytes: () => 0 },
      connections: 1,
      onAbandon: 'finish',
      offline,
      policy: { staleAfterMs: 1e9, negativeTtlMs: 0 },
    });
  }

  async stop(): Promise<void> {
    await this.#running?.close(new AbortController().signal);
    for (const { upstream } of this.#upstreams.values()) await upstream.close();
    await this.#opened?.close();
    this.#running = undefined;
    this.#opened = undefined;
    this.#leases?.clear();
    this.#upstreams = new Map();
  }

  manifest(upstream: string, path: string, text: string, method: 'get' | 'head' = 'get'): Promise<Got> {
    const reference = parseReference(text);
    if (reference === undefined) throw new Error(`no reference: ${text}`);
    const query = { upstream, repository: repository(path), reference, method };
    return this.#leased({ ...query, kind: 'manifest' }, text, async (signal) => {
      const { outcome, mediaType, digest } = await this.#cache.cache.manifest(query, signal);
      return { how: outcome.kind, mediaType, digest };
    });
  }

  blob(upstream: string, path: string, text: string, method: 'get' | 'head' = 'get'): Promise<Got> {
    const digest = parseDigest(text);
    if (digest === undefined) throw new Error(`no digest: ${text}`);
    const query = { upstream, repository: repository(path), digest, method, ranges: undefined };
    return this.#leased({ ...query, kind: 'blob' }, text, async (signal) => {
      const view = await this.#cache.cache.blob(query, signal);
      try {
        if (method === 'get') await drain(view, signal);
        return { how: view.outcome.kind };
      } finally {
        view.close();
        // Clients have the bytes before the store has.
        while (this.#cache.fillCount() > 0) await setImmediate();
      }
    });
  }

  /** What is listed as cached. */
  async listed(): Promise<readonly string[]> {
    const all = { upstream: undefined, n: undefined, last: undefined };
    return (await this.#cache.cache.catalog(all, new AbortController().signal)).repositories;
  }

  link(upstream: string, path: string, digest: Digest, kind: 'manifest' | 'blob'): string | undefined {
    return this.metadata.links.get({ upstream, repository: repository(path) }, digest, kind)?.origin.kind;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#temp[Symbol.asyncDispose]();
  }

  get #cache(): RunningCache {
    if (this.#running === undefined) throw new Error('not running');
    return this.#running;
  }

  /** As a serving thread does it: what is leased is given from memory, and leased again after an answer. */
  async #leased(query: PeekQuery, text: string, work: Work): Promise<Got> {
    const leases = this.#leases;
    if (leases === undefined) return this.#got(work);
    const { cache, changes } = this.#cache;
    const key = `${query.kind} ${query.method} ${query.upstream} ${query.repository} ${text}`;
    const known = leases.get(key);
    if (known !== undefined && this.clock.monotonic() - known.madeMs < known.answer.holdsMs) {
      const { stamp, mediaType, digest } = known.answer;
      if (changes.isCurrent(stamp)) return { status: '200', how: 'hit', mediaType, digest };
    }
    leases.delete(key);
    const got = await this.#got(work);
    const madeMs = this.clock.monotonic();
    const answer = got.status === '200' ? await cache.peek(query) : undefined;
    if (answer !== undefined) leases.set(key, { answer, madeMs });
    return got;
  }

  async #got(work: Work): Promise<Got> {
    try {
      const working = work(new AbortController().signal);
      return { status: '200', ...(await (this.#isClockShared ? this.#timed(working) : patient(working, 'an answer'))) };
    } catch (error) {
      if (error instanceof Error && 'kind' in error) return { status: String(error.kind) };
      // Its head was sent; the client sees the body end early.
      if (error instanceof BrokenBodyError) return { status: 'broken' };
      throw error;
    }
  }

  /** Turns the clock on when nothing but time is missing. */
  async #timed<T extends object>(work: Promise<T>): Promise<T & Pick<Got, 'hasWaited'>> {
    let isDone = false;
    let hasWaited = false;
    const done = (): void => void (isDone = true);
    void work.finally(done).catch(() => undefined);
    const startMs = performance.now();
    for (let nextMs = startMs + leisureMs; !isDone; await setImmediate()) {
      const nowMs = performance.now();
      if (nowMs > startMs + patienceMs) throw new Error('no answer');
      if (nowMs < nextMs) continue;
      nextMs = nowMs + leisureMs;
      hasWaited = true;
      await this.clock.advance(1000);
    }
    return hasWaited ? { ...(await work), hasWaited } : work;
  }
}

async function drain(view: Awaited<ReturnType<RunningCache['cache']['blob']>>, signal: AbortSignal): Promise<void> {
  const reader = await view.open({ start: 0, end: view.sizeBytes }, signal);
  try {
    for (let position = 0; ;) {
      const end = await reader.readable(position, signal);
      if (end === position) return;
      position += await reader.read(Buffer.alloc(end - position), 0, end - position, position);
    }
  } finally {
    reader.close();
  }
}
