/**
 * Everything that /metrics says. Other rooms report what happens through their own event interfaces, which this class
 * implements; what can be asked for (the store's usage) is asked when somebody scrapes. Seconds and bytes throughout.
 *
 * Its registry is its own, so several can live in one process.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CacheEvents, FillResult, PrefetchResult } from '../fill/contract/events.ts';
import type { UpstreamEvents } from '../upstream/contract/upstream.ts';
import { amount, codeLabel, GrowingLabelSet, LabelSet } from './labels.ts';
import { requestMetrics } from './request-metrics.ts';
import { type RequestEnd, type RequestSeries, RequestTally } from './request-tally.ts';

export interface MetricsOptions {
  readonly version: string;
  /** Keys of the configured upstreams; another one is counted as `other`. */
  readonly upstreams: readonly string[];
  /** Asked at each scrape; cheap. All bytes that count towards cache.maxSize, and the number of visible blobs. */
  readonly storeUsage: () => {
    readonly bytes: number;
    readonly blobs: number;
    readonly metadataBytes: number;
    readonly unreadable: number;
  };
  /**
   * Metrics of the process, of garbage collection and of the event loop's lag. They observe the whole process and
   * cannot be ended, so a test that makes many instances leaves them out. Default true.
   */
  readonly isProcessMeasured?: boolean;
}

const fillResults: Readonly<Record<FillResult, true>> = {
  stored: true,
  bypassed: true,
  mismatch: true,
  failed: true,
  abandoned: true,
};
const prefetchResults: Readonly<Record<PrefetchResult, true>> = { joined: true, stored: true, dropped: true };
const mostReasons = 64;

/** Heads only: 3 s to connect, 8 s an attempt, 20 s in all. */
const upstreamBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20];

export class Metrics implements UpstreamEvents, CacheEvents {
  readonly #registry = new Registry();
  readonly #upstreams: LabelSet;
  readonly #fillResults = new LabelSet(Object.keys(fillResults));
  readonly #prefetchResults = new LabelSet(Object.keys(prefetchResults));
  readonly #reasons = new GrowingLabelSet(mostReasons);
  readonly #tally: RequestTally;

  readonly #upstreamBytes = this.#counter('weir_upstream_bytes_total', 'Body bytes received from upstreams.', [
    'upstream',
  ]);
  readonly #upstreamSeconds = this.#histogram(
    'weir_upstream_request_seconds',
    'Time from a request to an upstream until the head of its answer; its code, or error.',
    ['upstream', 'code'],
    upstreamBuckets,
  );
  readonly #fills = this.#counter('weir_fills_total', 'Transfers of a digest into the store that ended.', ['result']);
  readonly #fillsRunning = this.#gauge(
    'weir_fills_running',
    'Transfers of a digest into the store that are running.',
    [],
  );
  readonly #fillJoins = this.#counter('weir_fill_joins_total', 'Requests that joined a running fill.', []);
  readonly #fillResumes = this.#counter('weir_fill_resumes_total', 'Broken transfers that were continued.', []);
  readonly #prefetches = this.#counter(
    'weir_prefetches_total',
    'Transfers begun before a client asked: joined by one, stored before one came, or dropped.',
    ['result'],
  );
  readonly #unprovedBytes = this.#counter(
    'weir_unproved_range_bytes_total',
    'Bytes of partial answers that were sent before their blob was proved.',
    [],
  );
  readonly #evictions = this.#counter('weir_evictions_total', 'Blobs and partials that were evicted.', ['reason']);
  readonly #evictedBytes = this.#counter('weir_evicted_bytes_total', 'Bytes that evictions freed.', ['reason']);
  readonly #rejected = this.#counter('weir_rejected_total', 'What was refused because it was not as it should be.', [
    'reason',
  ]);
  readonly #rateLimit = this.#gauge('weir_ratelimit_remaining', 'Requests that an upstream said are left.', [
    'upstream',
  ]);
  readonly #breakerOpen = this.#gauge(
    'weir_breaker_open',
    '1 while all endpoints of an upstream are down and not asked.',
    ['upstream'],
  );
  readonly #sendfile = this.#gauge(
    'weir_sendfile_usable',
    '1 when large bodies over plain HTTP leave by sendfile, 0 when they pass through buffers.',
    [],
  );

  constructor({ version, upstreams, storeUsage, isProcessMeasured = true }: MetricsOptions) {
    this.#upstreams = new LabelSet([...upstreams, 'none']);
    this.#tally = new RequestTally(upstreams);
    for (const metric of requestMetrics(this.#tally)) this.#registry.registerMetric(metric);
    if (isProcessMeasured) {
      // prom-client's default looks at the event loop every 10 ms: a hundred wake-ups a second, also while nothing happens.
      collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: 100 });
    }
    this.#gauge('weir_build_info', 'Always 1.', ['version']).set({ version }, 1);
    this.#pulled('weir_store_bytes', 'Bytes on disk that count towards cache.maxSize.', () => storeUsage().bytes);
    this.#pulled('weir_store_blobs', 'Blobs in the store.', () => storeUsage().blobs);
    this.#pulled(
      'weir_catalog_bytes',
      'Bytes on disk of the catalog and index.json.',
      () => storeUsage().metadataBytes,
    );
    this.#pulled(
      'weir_store_unreadable',
      'Stored blobs that could not be read, since the start.',
      () => storeUsage().unreadable,
    );
    // Series that are there from the start: an alert on their increase must see the first one.
    for (const upstream of upstreams) {
      this.#breakerOpen.set({ upstream }, 0);
      this.#upstreamBytes.inc({ upstream }, 0);
    }
    for (const result of Object.keys(fillResults)) this.#fills.inc({ result }, 0);
    for (const result of Object.keys(prefetchResults)) this.#prefetches.inc({ result }, 0);
    for (const reason of ['size', 'free-space', 'partial']) this.#evictions.inc({ reason }, 0);
    for (const reason of ['digest-mismatch', 'size-mismatch'])
      this.#rejected.inc({ reason: this.#reasons.of(reason) }, 0);
  }

  /** The exposition format of Prometheus. */
  async render(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  requestEnded(event: RequestEnd): void {
    this.#tally.requestEnded(event);
  }

  /** What another thread has counted. */
  requestsEnded(series: readonly RequestSeries[]): void {
    this.#tally.merge(series);
  }

  upstreamRequest(event: { upstream: string; status: number | 'error'; seconds: number }): void {
    const code = event.status === 'error' ? 'error' : codeLabel(event.status);
    this.#upstreamSeconds.observe({ upstream: this.#upstreams.of(event.upstream), code }, amount(event.seconds));
  }

  upstreamBytes(event: { upstream: string; bytes: number }): void {
    this.#upstreamBytes.inc({ upstream: this.#upstreams.of(event.upstream) }, amount(event.bytes));
  }

  rateLimitRemaining(event: { upstream: string; remaining: number }): void {
    this.#rateLimit.set({ upstream: this.#upstreams.of(event.upstream) }, amount(event.remaining));
  }

  breakerChanged(event: { upstream: string; isOpen: boolean }): void {
    this.#breakerOpen.set({ upstream: this.#upstreams.of(event.upstream) }, event.isOpen ? 1 : 0);
  }

  sendfileLoaded(isUsable: boolean): void {
    this.#sendfile.set(isUsable ? 1 : 0);
  }

  upstreamRejected(event: { upstream: string; reason: string }): void {
    this.rejected(event);
  }

  fillStarted(): void {
    this.#fillsRunning.inc();
  }

  fillEnded(event: { upstream: string; result: FillResult }): void {
    this.#fillsRunning.dec();
    this.#fills.inc({ result: this.#fillResults.of(event.result) });
  }

  fillJoined(): void {
    this.#fillJoins.inc();
  }

  prefetchEnded({ result }: { result: PrefetchResult }): void {
    this.#prefetches.inc({ result: this.#prefetchResults.of(result) });
  }

  fillResumed(): void {
    this.#fillResumes.inc();
  }

  unprovedRangeBytes(event: { bytes: number }): void {
    this.#unprovedBytes.inc(amount(event.bytes));
  }

  evicted(event: { bytes: number; reason: 'size' | 'free-space' | 'partial' }): void {
    this.#evictions.inc({ reason: event.reason });
    this.#evictedBytes.inc({ reason: event.reason }, amount(event.bytes));
  }

  rejected(event: { reason: string }): void {
    this.#rejected.inc({ reason: this.#reasons.of(event.reason) });
  }

  #counter<const L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #gauge<const L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram<const L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.#registry] });
  }

  #pulled(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.#registry], collect: () => gauge.set(read()) });
  }
}
