import { describe, expect, it } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.ts';
import { type RequestEnd, RequestTally } from '../../src/metrics/request-tally.ts';

const hit: RequestEnd = {
  upstream: 'lab',
  kind: 'manifest',
  method: 'GET',
  outcome: 'hit',
  code: 200,
  seconds: 0.002,
  bytes: 10,
};

describe('RequestTally', () => {
  it('gives away what it has counted once, and another one adds it up', () => {
    const [one, two, sum] = [new RequestTally(['lab']), new RequestTally(['lab']), new RequestTally(['lab'])];
    one.requestEnded(hit);
    one.requestEnded({ ...hit, seconds: 4000 });
    two.requestEnded(hit);
    two.requestEnded({ ...hit, method: 'BREW', upstream: undefined, code: 0 });
    for (const tally of [one, two, one]) sum.merge(tally.take());
    const series = [...sum.series];
    expect(series.map(({ method, upstream, code, count }) => [method, upstream, code, count])).toEqual([
      ['GET', 'lab', '200', 3],
      ['other', 'none', 'other', 1],
    ]);
    expect(series[0]).toMatchObject({ bytes: 30, seconds: 4000.004 });
    expect(series[0]?.durations.filter((count) => count > 0)).toEqual([2, 1]);
    expect([...one.series]).toEqual([]);
  });

  it('shows in the same series as the owner’s own requests', async () => {
    const thread = new RequestTally(['lab']);
    const metrics = new Metrics({
      version: '1',
      upstreams: ['lab'],
      storeUsage: () => ({ bytes: 0, blobs: 0, metadataBytes: 0, unreadable: 0 }),
      isProcessMeasured: false,
    });
    metrics.requestEnded(hit);
    thread.requestEnded(hit);
    for (const _ of [1, 2]) {
      metrics.requestsEnded(thread.take());
      const { body } = await metrics.render();
      expect(body).toContain(
        'weir_requests_total{upstream="lab",kind="manifest",method="GET",outcome="hit",code="200"} 2',
      );
      expect(body).toContain('weir_request_seconds_bucket{le="0.001",kind="manifest",outcome="hit"} 0');
      expect(body).toContain('weir_request_seconds_bucket{le="0.0025",kind="manifest",outcome="hit"} 2');
      expect(body).toContain('weir_request_seconds_bucket{le="+Inf",kind="manifest",outcome="hit"} 2');
      expect(body).toContain('weir_request_seconds_count{kind="manifest",outcome="hit"} 2');
      expect(body).toContain('weir_client_bytes_total{upstream="lab",outcome="hit"} 20');
    }
  });
});
