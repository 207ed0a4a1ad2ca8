/** The series of a tally in prom-client's terms. */
import type { Metric, MetricType } from 'prom-client';
import { requestBuckets, type RequestSeries, type RequestTally } from './request-tally.ts';

type Labels = Readonly<Record<string, string>>;

interface Value {
  readonly labels: Labels;
  readonly value: number;
  /** The name of this line, where it is not the metric's own. */
  readonly metricName?: string;
}

/** To be registered; read at each scrape. */
export function requestMetrics(tally: RequestTally): readonly Metric[] {
  return [
    metric('weir_requests_total', 'Requests from clients.', 'counter', () =>
      [...tally.series].map(({ upstream, kind, method, outcome, code, count }) => ({
        labels: { upstream, kind, method, outcome, code },
        value: count,
      })),
    ),
    metric('weir_request_seconds', 'Time from a request’s head to the end of its answer.', 'histogram', () =>
      grouped(tally, ({ kind, outcome }) => ({ kind, outcome })).flatMap(({ labels, series }) =>
        histogram('weir_request_seconds', labels, series),
      ),
    ),
    metric('weir_client_bytes_total', 'Body bytes sent to clients.', 'counter', () =>
      grouped(tally, ({ upstream, outcome }) => ({ upstream, outcome })).map(({ labels, series }) => ({
        labels,
        value: sum(series, ({ bytes }) => bytes),
      })),
    ),
  ];
}

/**
 * prom-client's registry asks a metric for its name, help, type and values (lib/registry.js); its types ask for one of its
 * own classes, which cannot hold what was added up elsewhere.
 */
function metric(name: string, help: string, type: 'counter' | 'histogram', values: () => readonly Value[]): Metric {
  const described: { readonly [key: string]: unknown; readonly type: MetricType | string } = {
    name,
    help,
    type,
    aggregator: 'sum',
    reset: () => undefined,
    get: () => Promise.resolve({ name, help, type, aggregator: 'sum', values: values() }),
  };
  return described as unknown as Metric;
}

function grouped(
  tally: RequestTally,
  labelsOf: (series: RequestSeries) => Labels,
): readonly { readonly labels: Labels; readonly series: readonly RequestSeries[] }[] {
  const groups = Map.groupBy(tally.series, (series) => Object.values(labelsOf(series)).join(' '));
  return [...groups.values()].map((series) => ({ labels: series[0] === undefined ? {} : labelsOf(series[0]), series }));
}

function histogram(name: string, labels: Labels, series: readonly RequestSeries[]): readonly Value[] {
  let below = 0;
  const buckets = requestBuckets.map((le, i): Value => {
    below += sum(series, ({ durations }) => durations[i] ?? 0);
    return { metricName: `${name}_bucket`, labels: { le: String(le), ...labels }, value: below };
  });
  const count = sum(series, (one) => one.count);
  return [
    ...buckets,
    { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
    { metricName: `${name}_sum`, labels, value: sum(series, ({ seconds }) => seconds) },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function sum(series: readonly RequestSeries[], of: (one: RequestSeries) => number): number {
  return series.reduce((total, one) => total + of(one), 0);
}
