/**
 * Finished requests, added up. Several threads serve clients: each has a tally, and what it has counted since it was last
 * asked is merged into the owner's, whose series /metrics shows. Kept in plain numbers, because this runs for each
 * request, and because prom-client has no way to add a batch to a histogram.
 */
import { amount, codeLabel, LabelSet } from './labels.ts';

/** One finished request, as http reports it. */
export interface RequestEnd {
  /** Undefined when no configured upstream was meant. */
  readonly upstream: string | undefined;
  readonly kind: string;
  readonly method: string;
  readonly outcome: string;
  readonly code: number;
  readonly seconds: number;
  readonly bytes: number;
}

/** Requests that are alike in all labels. Plain values: these are posted between threads. */
export interface RequestSeries {
  readonly upstream: string;
  readonly kind: string;
  readonly method: string;
  readonly outcome: string;
  readonly code: string;
  count: number;
  bytes: number;
  seconds: number;
  /** Requests by duration, one number for each of `requestBuckets` and one for everything beyond; not cumulative. */
  readonly durations: number[];
}

/** A hit takes a millisecond, a model of 40 GiB most of an hour. Upper bounds in seconds. */
export const requestBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800,
];

const kinds = ['manifest', 'blob', 'tags', 'referrers', 'catalog', 'ping'];
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const outcomes = ['hit', 'stale', 'revalidated', 'miss', 'collapsed', 'bypass', 'negative', 'none'];

export class RequestTally {
  readonly #upstreams: LabelSet;
  readonly #kinds = new LabelSet(kinds);
  readonly #methods = new LabelSet(methods);
  readonly #outcomes = new LabelSet(outcomes);
  #series = new Map<string, RequestSeries>();

  /** `upstreams`: the configured keys. */
  constructor(upstreams: Iterable<string>) {
    this.#upstreams = new LabelSet([...upstreams, 'none']);
  }

  get series(): Iterable<RequestSeries> {
    return this.#series.values();
  }

  requestEnded(event: RequestEnd): void {
    const { method, kind, outcome, code, upstream = 'none' } = event;
    const key = `${method} ${kind} ${outcome} ${code} ${upstream}`;
    // Labels are checked once for each combination; what is outside their sets shares a series under another key.
    const series = this.#series.get(key) ?? this.#enter(this.#label(event));
    series.count++;
    series.bytes += amount(event.bytes);
    const seconds = amount(event.seconds);
    series.seconds += seconds;
    const bucket = bucketOf(seconds);
    series.durations[bucket] = (series.durations[bucket] ?? 0) + 1;
  }

  /** What was counted since the last call; nothing of it is here any more. */
  take(): readonly RequestSeries[] {
    const taken = [...this.#series.values()];
    this.#series = new Map();
    return taken;
  }

  /** Adds what another tally has given away. */
  merge(series: readonly RequestSeries[]): void {
    for (const more of series) {
      const mine = this.#enter({ ...more, count: 0, bytes: 0, seconds: 0, durations: emptyDurations() });
      mine.count += more.count;
      mine.bytes += more.bytes;
      mine.seconds += more.seconds;
      more.durations.forEach((count, i) => (mine.durations[i] = (mine.durations[i] ?? 0) + count));
    }
  }

  #label({ upstream, kind, method, outcome, code }: RequestEnd): RequestSeries {
    return {
      upstream: this.#upstreams.of(upstream ?? 'none'),
      kind: this.#kinds.of(kind),
      method: this.#methods.of(method),
      outcome: this.#outcomes.of(outcome),
      code: codeLabel(code),
      count: 0,
      bytes: 0,
      seconds: 0,
      durations: emptyDurations(),
    };
  }

  /** The series with these labels: the one that is there, or this one. */
  #enter(series: RequestSeries): RequestSeries {
    const { method, kind, outcome, code, upstream } = series;
    const key = `${method} ${kind} ${outcome} ${code} ${upstream}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    this.#series.set(key, series);
    return series;
  }
}

function emptyDurations(): number[] {
  return Array.from({ length: requestBuckets.length + 1 }, () => 0);
}

function bucketOf(seconds: number): number {
  let bucket = 0;
  while (bucket < requestBuckets.length && seconds > (requestBuckets[bucket] ?? Infinity)) bucket++;
  return bucket;
}
