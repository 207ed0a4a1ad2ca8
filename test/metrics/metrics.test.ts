import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CacheEvents } from '../../src/fill/contract/events.ts';
import type { HttpEvents } from '../../src/http/v2/context.ts';
import { Metrics, type MetricsOptions } from '../../src/metrics/metrics.ts';
import type { UpstreamEvents } from '../../src/upstream/contract/upstream.ts';

function create(options: Partial<MetricsOptions> = {}): Metrics {
  return new Metrics({
    version: '1.2.3',
    upstreams: ['docker.io', 'lab:5000'],
    storeUsage: () => ({ bytes: 0, blobs: 0, metadataBytes: 0, unreadable: 0 }),
    isProcessMeasured: false,
    ...options,
  });
}

const request = {
  upstream: 'docker.io',
  kind: 'blob',
  method: 'GET',
  outcome: 'hit',
  code: 200,
  seconds: 0.02,
  bytes: 1000,
} as const;

async function lines(metrics: Metrics, name?: string): Promise<string[]> {
  const { body } = await metrics.render();
  const all = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return name === undefined ? all : all.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

describe('metrics', () => {
  it('is what every room reports to', () => {
    const all: UpstreamEvents & CacheEvents & HttpEvents = create();
    expect(all).toBeInstanceOf(Metrics);
  });

  it('has these names, types and labels', async () => {
    const metrics = create();
    metrics.requestEnded(request);
    metrics.upstreamRequest({ upstream: 'docker.io', status: 200, seconds: 1 });
    metrics.rateLimitRemaining({ upstream: 'docker.io', remaining: 99 });
    metrics.evicted({ bytes: 1, reason: 'size' });
    const { body, contentType } = await metrics.render();
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    const types = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => {
      const series = new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, 'm').exec(body)?.[1] ?? '';
      const labels = [...series.matchAll(/(\w+)="/g)].map(([, label = '']) => label);
      return [type, name, ...labels.toSorted((a, b) => a.localeCompare(b))].join(' ');
    });
    expect(types.toSorted()).toEqual(
      [
        'counter weir_requests_total code kind method outcome upstream',
        'histogram weir_request_seconds kind le outcome',
        'counter weir_client_bytes_total outcome upstream',
        'counter weir_upstream_bytes_total upstream',
        'histogram weir_upstream_request_seconds code le upstream',
        'counter weir_fills_total result',
        'gauge weir_fills_running',
        'counter weir_fill_joins_total',
        'counter weir_fill_resumes_total',
        'counter weir_prefetches_total result',
        'counter weir_unproved_range_bytes_total',
        'counter weir_evictions_total reason',
        'counter weir_evicted_bytes_total reason',
        'gauge weir_store_bytes',
        'gauge weir_store_blobs',
        'gauge weir_catalog_bytes',
        'gauge weir_store_unreadable',
        'counter weir_rejected_total reason',
        'gauge weir_ratelimit_remaining upstream',
        'gauge weir_sendfile_usable',
        'gauge weir_breaker_open upstream',
        'gauge weir_build_info version',
      ].toSorted(),
    );
  });

  it('counts a request with all that is known about it', async () => {
    const metrics = create();
    metrics.requestEnded(request);
    metrics.requestEnded({ ...request, seconds: 3, bytes: 5 });
    metrics.requestEnded({ ...request, upstream: undefined, kind: 'ping', method: 'HEAD', outcome: 'none', bytes: 0 });
    expect(await lines(metrics, 'weir_requests_total')).toEqual([
      'weir_requests_total{upstream="docker.io",kind="blob",method="GET",outcome="hit",code="200"} 2',
      'weir_requests_total{upstream="none",kind="ping",method="HEAD",outcome="none",code="200"} 1',
    ]);
    expect(await lines(metrics, 'weir_client_bytes_total')).toContain(
      'weir_client_bytes_total{upstream="docker.io",outcome="hit"} 1005',
    );
    expect(await lines(metrics, 'weir_request_seconds_sum')).toContain(
      'weir_request_seconds_sum{kind="blob",outcome="hit"} 3.02',
    );
    const buckets = await lines(metrics, 'weir_request_seconds_bucket');
    expect(buckets).toContain('weir_request_seconds_bucket{le="0.01",kind="blob",outcome="hit"} 0');
    expect(buckets).toContain('weir_request_seconds_bucket{le="0.025",kind="blob",outcome="hit"} 1');
    expect(buckets).toContain('weir_request_seconds_bucket{le="5",kind="blob",outcome="hit"} 2');
  });

  it('counts what upstreams answer and send', async () => {
    const metrics = create();
    metrics.upstreamRequest({ upstream: 'docker.io', status: 429, seconds: 0.2 });
    metrics.upstreamRequest({ upstream: 'docker.io', status: 'error', seconds: 3 });
    metrics.upstreamBytes({ upstream: 'docker.io', bytes: 7 });
    metrics.upstreamBytes({ upstream: 'docker.io', bytes: 3 });
    metrics.rateLimitRemaining({ upstream: 'docker.io', remaining: 42 });
    metrics.breakerChanged({ upstream: 'docker.io', isOpen: true });
    metrics.upstreamRejected({ upstream: 'docker.io', reason: 'realm' });
    expect(await lines(metrics, 'weir_upstream_request_seconds_count')).toEqual([
      'weir_upstream_request_seconds_count{upstream="docker.io",code="429"} 1',
      'weir_upstream_request_seconds_count{upstream="docker.io",code="error"} 1',
    ]);
    expect(await lines(metrics, 'weir_upstream_bytes_total')).toContain(
      'weir_upstream_bytes_total{upstream="docker.io"} 10',
    );
    expect(await lines(metrics, 'weir_ratelimit_remaining')).toEqual([
      'weir_ratelimit_remaining{upstream="docker.io"} 42',
    ]);
    expect(await lines(metrics, 'weir_breaker_open')).toEqual([
      'weir_breaker_open{upstream="docker.io"} 1',
      'weir_breaker_open{upstream="lab:5000"} 0',
    ]);
    expect(await lines(metrics, 'weir_rejected_total')).toContain('weir_rejected_total{reason="realm"} 1');
    metrics.breakerChanged({ upstream: 'docker.io', isOpen: false });
    expect(await lines(metrics, 'weir_breaker_open')).toContain('weir_breaker_open{upstream="docker.io"} 0');
  });

  it('counts what the cache does', async () => {
    const metrics = create();
    metrics.fillStarted();
    metrics.fillStarted();
    metrics.fillEnded({ upstream: 'docker.io', result: 'stored' });
    metrics.fillJoined();
    metrics.fillResumed();
    metrics.prefetchEnded({ result: 'joined' });
    metrics.unprovedRangeBytes({ bytes: 100 });
    metrics.evicted({ bytes: 4096, reason: 'free-space' });
    metrics.rejected({ reason: 'digest-mismatch' });
    const all = await lines(metrics);
    for (const line of [
      'weir_fills_running 1',
      'weir_fills_total{result="stored"} 1',
      'weir_fills_total{result="failed"} 0',
      'weir_fill_joins_total 1',
      'weir_fill_resumes_total 1',
      'weir_prefetches_total{result="joined"} 1',
      'weir_prefetches_total{result="dropped"} 0',
      'weir_unproved_range_bytes_total 100',
      'weir_evictions_total{reason="free-space"} 1',
      'weir_evicted_bytes_total{reason="free-space"} 4096',
      'weir_rejected_total{reason="digest-mismatch"} 1',
      'weir_build_info{version="1.2.3"} 1',
    ]) {
      expect(all).toContain(line);
    }
  });

  it('asks for the usage of the store when it is scraped, not before', async () => {
    let asked = 0;
    let bytes = 10;
    const metrics = create({ storeUsage: () => ({ bytes, blobs: (asked += 1), metadataBytes: 0, unreadable: 0 }) });
    expect(asked).toBe(0);
    expect(await lines(metrics, 'weir_store_bytes')).toEqual(['weir_store_bytes 10']);
    bytes = 20;
    expect(await lines(metrics, 'weir_store_bytes')).toEqual(['weir_store_bytes 20']);
    expect(asked).toBeGreaterThan(0);
  });

  it('measures the process and the lag of its event loop', async () => {
    const found = await lines(create({ isProcessMeasured: true }));
    for (const name of [
      'nodejs_eventloop_lag_seconds',
      'nodejs_eventloop_lag_p99_seconds',
      'process_resident_memory_bytes',
      'process_cpu_seconds_total',
    ]) {
      expect(
        found.filter((line) => line.startsWith(name)),
        name,
      ).toHaveLength(1);
    }
  });

  it('two of them in one process know nothing of each other', async () => {
    const [one, two] = [create(), create()];
    one.fillJoined();
    expect(await lines(two, 'weir_fill_joins_total')).toEqual(['weir_fill_joins_total 0']);
  });

  it('whatever clients and upstreams send, series stay few, and nothing of it is shown', async () => {
    const metrics = create();
    const hostile = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('docker.io\n', '"} 1', '__proto__', 'constructor', '\u202e', 'DOCKER.IO', '', 'x'.repeat(5000)),
      fc.uuid(),
      fc.stringMatching(/^[a-z]{1,8}$/),
    );
    const number = fc.oneof(
      fc.integer(),
      fc.nat({ max: 1000 }),
      fc.double(),
      fc.constantFrom(NaN, Infinity, -1, 1e300),
    );
    let reports = 0;
    fc.assert(
      fc.property(hostile, hostile, hostile, number, number, (a, b, c, n, m) => {
        metrics.requestEnded({ upstream: a, kind: b, method: c, outcome: a as 'hit', code: n, seconds: m, bytes: n });
        metrics.upstreamRequest({ upstream: a, status: n, seconds: m });
        metrics.upstreamBytes({ upstream: b, bytes: n });
        metrics.rateLimitRemaining({ upstream: c, remaining: m });
        metrics.breakerChanged({ upstream: a, isOpen: true });
        metrics.upstreamRejected({ upstream: b, reason: `reason ${c}` });
        metrics.rejected({ reason: a.slice(0, 40) });
        metrics.unprovedRangeBytes({ bytes: m });
        metrics.prefetchEnded({ result: c as 'joined' });
        metrics.fillEnded({ upstream: a, result: b as 'stored' });
        reports += 1;
      }),
      { numRuns: 2000 },
    );
    expect(reports).toBeGreaterThanOrEqual(2000);
    const found = await lines(metrics);
    expect(found.length).toBeGreaterThan(100);
    // There are 500 codes and room for 64 reasons; everything else is a handful.
    expect(
      found.filter((line) => !line.startsWith('weir_upstream_request_seconds') && !line.includes('code=')).length,
    ).toBeLessThan(150);
    const values = found.flatMap((line) =>
      [...line.matchAll(/(?<label>\w+)="(?<value>[^"]*)"/g)].map(({ groups }) => groups),
    );
    for (const label of ['upstream', 'kind', 'method', 'outcome', 'result']) {
      const seen = new Set(values.filter((value) => value?.['label'] === label).map((value) => value?.['value']));
      expect(
        [...seen].filter(
          (value) =>
            ![
              'other',
              'none',
              'docker.io',
              'lab:5000',
              'stored',
              'bypassed',
              'mismatch',
              'failed',
              'abandoned',
              'joined',
              'dropped',
            ].includes(value ?? ''),
        ),
      ).toEqual([]);
      expect(seen.size).toBeGreaterThan(0);
    }
    const rejected = await lines(metrics, 'weir_rejected_total');
    const reasons = new Set(rejected.map((line) => /reason="(?<reason>[^"]*)"/.exec(line)?.groups?.['reason'] ?? ''));
    // 64, and other.
    expect(reasons.size).toBe(65);
    expect([...reasons].filter((reason) => !/^[A-Za-z-]+$/.test(reason))).toEqual([]);
  });
});
