/** A whole cache over scripted registries on real sockets, all on one clock that the test turns, and clients that ask. */
import { setImmediate } from 'node:timers/promises';
import type { Cache } from '../../../src/cache/contract/cache.ts';
import { createCache, type RunningCache } from '../../../src/cache/create.ts';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import type { CacheEvents } from '../../../src/fill/contract/events.ts';
import { type Outcome, outcomeLabel } from '../../../src/headers/cache-status.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import type { UpstreamOptions } from '../../../src/upstream/create.ts';
import { PublicUpstream } from '../../../src/upstream/public-upstream.ts';
import type { Upstream } from '../../../src/upstream/contract/upstream.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { Gate } from '../../support/gate.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { clientOf, recorder } from '../../upstream/support/clients.ts';
import { repository } from '../../fill/support/engine.ts';
import { FaultyStore } from '../../fill/support/faulty-store.ts';

export interface Asked {
  readonly what: 'manifest' | 'head' | 'blob' | 'tags' | 'referrers';
  /** `a/b:tag`, `a/b@sha256:…`, or `a/b` for tags. */
  readonly name: string;
  readonly client?: string;
  /** It leaves after so many milliseconds. Default: it waits. */
  readonly patienceMs?: number;
}

export interface Got {
  /** 200, the kind of the error, `broken` for a body that ended early, or `left`. */
  readonly status: number | string;
  readonly how: string;
  /** Of an error, with those of its causes. */
  readonly reason: string;
  readonly bytes: number;
  /** Until its end, on the clock. */
  readonly seconds: number;
  /** When it was over, on the clock. */
  readonly atMs: number;
  readonly retryAfterMs: number | undefined;
}

export interface BlameRigOptions {
  /** In place of the scripted registry. */
  readonly urls?: readonly URL[];
  readonly registries?: readonly ScriptedUpstream[];
  readonly tagTtlMs?: number;
  readonly hasPrefetch?: boolean;
  readonly upstream?: Partial<UpstreamOptions>;
}

/** Passes whoever comes after so long. */
export class ClockGate extends Gate {
  readonly #clock: FakeClock;
  readonly #ms: number;

  constructor(clock: FakeClock, ms: number) {
    super();
    this.#clock = clock;
    this.#ms = ms;
  }

  override pass(): Promise<void> {
    return this.#clock.sleep(this.#ms);
  }
}

const nothing: CacheEvents = new Proxy({} as CacheEvents, { get: () => (): void => undefined });
const restTurns = 10;

export class BlameRig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly metadata = new Metadata({ path: ':memory:', clock: this.clock, logger: silentLogger });
  readonly recorded = recorder();
  /** The first one, which most tests have alone. */
  readonly registry: ScriptedUpstream;
  readonly registries: readonly ScriptedUpstream[];
  readonly #upstream: Upstream;
  readonly #running: RunningCache;
  #ended = 0;

  private constructor(registry: ScriptedUpstream, options: BlameRigOptions) {
    const { clock, metadata } = this;
    this.registry = registry;
    this.registries = options.registries ?? [registry];
    const urls = options.urls ?? this.registries.map(({ url }) => new URL(url));
    const way = { key: 'lab', clock, events: this.recorded.events, connections: 64, ...options.upstream };
    const member = clientOf(urls, way);
    const stranger = clientOf(urls, { ...way, credentials: undefined });
    const events = { upstreamRejected: (): void => undefined };
    this.#upstream = new PublicUpstream({ member, stranger, logger: silentLogger, events });
    const rules = { access: 'public', staleIfErrorMs: 30 * 86_400_000, isImmutableTag: () => false } as const;
    const { headTimeoutMs = 60_000 } = options.upstream ?? {};
    const policy = { ...rules, tagTtlMs: options.tagTtlMs ?? 60_000, headTimeoutMs, upstream: this.#upstream };
    this.#running = createCache({
      store: new FaultyStore(metadata),
      metadata,
      upstreams: new Map([['lab', policy]]),
      clock,
      logger: silentLogger,
      events: nothing,
      limits: { maxBytes: 2 ** 40, minFreeBytes: () => 0 },
      connections: 1,
      onAbandon: 'finish',
      offline: false,
      prefetch: options.hasPrefetch === true ? { maxBytes: 2 ** 30 } : undefined,
    });
  }

  static async start(options: BlameRigOptions = {}): Promise<BlameRig> {
    return new BlameRig(options.registries?.[0] ?? (await ScriptedUpstream.start()), options);
  }

  /** Never rejects. */
  async ask({ what, name, client = '10.0.0.1', patienceMs }: Asked): Promise<Got> {
    const startMs = this.clock.monotonic();
    const control = new AbortController();
    const timer = patienceMs === undefined ? undefined : this.clock.setTimer(patienceMs, () => control.abort());
    const end = (rest: Partial<Got> & Pick<Got, 'status'>): Got => {
      this.#ended++;
      timer?.cancel();
      const atMs = this.clock.monotonic();
      const seconds = (atMs - startMs) / 1000;
      return { how: '', reason: '', bytes: 0, seconds, atMs, retryAfterMs: undefined, ...rest };
    };
    try {
      const { outcome, bytes } = await this.#answer(what, name, client, control.signal);
      return end({ status: 200, how: outcomeLabel(outcome), bytes });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (control.signal.aborted) return end({ status: 'left' });
      const retryAfterMs = 'retryAfterMs' in error ? Number(error.retryAfterMs ?? 0) : undefined;
      const kind = error instanceof BrokenBodyError ? 'broken' : 'kind' in error ? String(error.kind) : 'unexpected';
      return end({ status: kind, reason: chainOf(error), retryAfterMs });
    }
  }

  /** Asks for all of them one after the other, as a client does that pulls; stops at the first that fails. */
  async pull(all: readonly Asked[]): Promise<readonly Got[]> {
    const got: Got[] = [];
    for (const asked of all) {
      got.push(await this.ask(asked));
      if (got.at(-1)?.status !== 200) break;
    }
    return got;
  }

  /** Lets time pass. What is under way on sockets gets as far as it can before the next step of it. */
  async pass(ms: number, stepMs = 250): Promise<void> {
    await this.rest();
    for (let left = ms; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(stepMs, left));
      await this.rest();
    }
  }

  /** Lets time pass until the work has ended. */
  async until<T>(work: Promise<T>, mostMs = 120_000, stepMs = 250): Promise<T> {
    let isOver = false;
    const end = (): void => void (isOver = true);
    work.then(end, end);
    await this.rest();
    for (let ms = 0; !isOver; ms += stepMs) {
      if (ms > mostMs) throw new Error(`not over after ${mostMs} ms on the clock`);
      await this.pass(stepMs, stepMs);
    }
    return work;
  }

  /** Does something every so often while time passes, and resolves with all that came of it. */
  async each<T>(everyMs: number, times: number, work: (index: number) => Promise<T>): Promise<readonly T[]> {
    const all: Promise<T>[] = [];
    for (let index = 0; index < times; index++) {
      all.push(work(index));
      await this.pass(everyMs);
    }
    return this.until(Promise.all(all));
  }

  /** Resolves when nothing has happened on sockets for some turns of the event loop. */
  async rest(): Promise<void> {
    let last = -1;
    for (let quiet = 0; quiet < restTurns; quiet++) {
      await setImmediate();
      const now = this.#activity();
      if (now !== last) quiet = 0;
      last = now;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = this.#running.close(AbortSignal.abort());
    await this.#upstream.close();
    for (const registry of new Set([this.registry, ...this.registries])) await registry[Symbol.asyncDispose]();
    await closing;
    this.metadata.close();
  }

  #activity(): number {
    const { recorded } = this;
    return this.registries.reduce(
      (sum, { requests, looks, connections, openConnections }) =>
        sum + requests.length + looks.length + connections + openConnections,
      this.#ended + recorded.requests.length + recorded.bytes,
    );
  }

  async #answer(
    what: Asked['what'],
    name: string,
    client: string,
    signal: AbortSignal,
  ): Promise<{ outcome: Outcome; bytes: number }> {
    const { cache } = this.#running;
    const mark = name.search(/[:@]/);
    const key = { upstream: 'lab', repository: repository(mark === -1 ? name : name.slice(0, mark)), client };
    const text = name.slice(mark + 1);
    const reference = parseReference(text);
    const digest = parseDigest(text);
    if (what === 'tags') {
      const answer = await cache.tags({ ...key, n: undefined, last: undefined }, signal);
      return { outcome: answer.outcome, bytes: answer.tags.length };
    }
    if (what === 'manifest' || what === 'head') {
      if (reference === undefined) throw new Error(`no reference: ${name}`);
      const answer = await cache.manifest({ ...key, reference, method: what === 'head' ? 'head' : 'get' }, signal);
      return { outcome: answer.outcome, bytes: answer.sizeBytes };
    }
    if (digest === undefined) throw new Error(`no digest: ${name}`);
    if (what === 'referrers') {
      const query = { ...key, digest, artifactType: undefined, n: undefined, last: undefined };
      const answer = await cache.referrers(query, signal);
      return { outcome: answer.outcome, bytes: answer.manifests.length };
    }
    const view = await cache.blob({ ...key, digest, method: 'get', ranges: undefined }, signal);
    return { outcome: view.outcome, bytes: await drain(view, signal) };
  }
}

function chainOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${chainOf(error.cause)}` : error.message;
}

async function drain(view: Awaited<ReturnType<Cache['blob']>>, signal: AbortSignal): Promise<number> {
  try {
    const reader = await view.open({ start: 0, end: view.sizeBytes }, signal);
    try {
      for (let position = 0; ;) {
        const end = await reader.readable(position, signal);
        if (end === position) return position;
        position += await reader.read(Buffer.alloc(end - position), 0, end - position, position);
      }
    } finally {
      reader.close();
    }
  } finally {
    view.close();
  }
}
