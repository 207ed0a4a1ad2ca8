/** The goals, as ratios within one run, and whether they are met: computed, so that nobody has to read tables for it. */
import { scaleOf } from '../bench.ts';
import type { Results, RowResult } from '../results.ts';
import { metrics } from './metrics.ts';
import { summaryOf } from './tables.ts';

/** One comparison of a goal. */
export interface Clause {
  /** `of nginx's requests/s, by tag` */
  readonly text: string;
  /** Undefined when the run did not measure it. */
  readonly value: number | undefined;
  readonly limit: number;
  readonly isAtLeast: boolean;
  readonly unit: 'x' | 'MB' | 'ms';
}

export interface Goal {
  readonly scenario: string;
  readonly clauses: readonly Clause[];
}

type Names = readonly string[];

/** Medians of a run by row, peer and metric. */
class Figures {
  readonly #rows: ReadonlyMap<string, RowResult>;
  readonly #results: Results;

  constructor(results: Results) {
    this.#results = results;
    this.#rows = new Map(results.scenarios.flatMap(({ rows }) => rows.map((row) => [row.id, row] as const)));
  }

  median(row: string, peer: string, metric: string): number | undefined {
    return summaryOf(this.#rows.get(row)?.cells[peer], metric)?.median;
  }

  peersOf(kinds: Names): Names {
    return Object.entries(this.#results.peers).flatMap(([name, { kind }]) => (kinds.includes(kind) ? [name] : []));
  }

  title(peer: string): string {
    return this.#results.peers[peer]?.title ?? peer;
  }

  /** The best of some peers over some rows. */
  best(rows: Names, peers: Names, metric: string): { readonly peer: string; readonly value: number } | undefined {
    const all = rows.flatMap((row) =>
      peers.flatMap((peer) => {
        const value = this.median(row, peer, metric);
        return value === undefined ? [] : [{ peer, value }];
      }),
    );
    const isMoreBetter = metrics[metric]?.isMoreBetter === true;
    return all.toSorted((a, b) => (isMoreBetter ? b.value - a.value : a.value - b.value))[0];
  }

  isQuick(scenario: string): boolean {
    return this.#results.scenarios.find(({ name }) => name === scenario)?.isQuick === true;
  }
}

function divide(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}

/** How many times as good weir is as the best of the others; for times and costs, how many times the others' is. */
function ahead(
  figures: Figures,
  what: { readonly row: string; readonly metric: string; readonly limit: number; readonly as?: string },
  peers: Names,
  otherRows: Names = [what.row],
): Clause {
  const best = figures.best(otherRows, peers, what.metric);
  const own = figures.median(what.row, 'weir', what.metric);
  const isMoreBetter = metrics[what.metric]?.isMoreBetter === true;
  const value = isMoreBetter ? divide(own, best?.value) : divide(best?.value, own);
  const [only, ...more] = peers;
  const unknown = only === undefined || more.length > 0 ? 'the best other' : figures.title(only);
  const who = best === undefined ? unknown : figures.title(best.peer);
  const text = `${isMoreBetter ? '' : 'faster than '}${who}${what.as === undefined ? '' : `, ${what.as}`}`;
  return { text, value, limit: what.limit, isAtLeast: true, unit: 'x' };
}

/** weir's cost as a multiple of the least of the others. */
function cost(figures: Figures, row: string, peers: Names, limit: number, as: string): Clause {
  const best = figures.best([row], peers, 'cpuPerGb');
  const value = divide(figures.median(row, 'weir', 'cpuPerGb'), best?.value);
  return {
    text: `${best === undefined ? '' : `${figures.title(best.peer)}, `}${as}`,
    value,
    limit,
    isAtLeast: false,
    unit: 'x',
  };
}

function atMost(text: string, value: number | undefined, limit: number, unit: Clause['unit'] = 'x'): Clause {
  return { text, value, limit, isAtLeast: false, unit };
}

function manifestGoals(figures: Figures, registries: Names): readonly Goal[] {
  const both = ['tag', 'digest'] as const;
  const metric = 'perSecond';
  // Registries may leave their log off: the better of their two figures counts.
  const on = both.map((by) => {
    const rows = [`manifest-${by}-log`, `manifest-${by}-nolog`];
    return ahead(figures, { row: `manifest-${by}-log`, metric, limit: 2, as: `by ${by}` }, registries, rows);
  });
  const off = both.map((by) =>
    ahead(figures, { row: `manifest-${by}-nolog`, metric, limit: 1, as: `by ${by}` }, ['nginx']),
  );
  return [
    { scenario: 'manifest, warm, 64 connections, access log on', clauses: on },
    { scenario: 'manifest, warm, 64 connections, access logs off', clauses: off },
  ];
}

function plural(connections: number): string {
  return `${connections} connection${connections === 1 ? '' : 's'}`;
}

function bulkGoals(figures: Figures, registries: Names, caches: Names): readonly Goal[] {
  const metric = 'gbPerSecond';
  const warm = [1, 16].flatMap((count) => [
    ahead(figures, { row: `warm-blob-${count}`, metric, limit: 1, as: `GB/s, ${plural(count)}` }, ['nginx']),
    cost(figures, `warm-blob-${count}`, ['nginx'], 1.05, `CPU s/GB, ${plural(count)}`),
  ]);
  const [plain, tls] = ['cold-blob-plain', 'cold-blob-tls'] as const;
  return [
    { scenario: 'warm 1 GiB, 1 and 16 connections', clauses: warm },
    {
      scenario: 'cold 1 GiB over plain HTTP, one client',
      clauses: [
        ahead(figures, { row: plain, metric, limit: 1.2 }, caches),
        ahead(figures, { row: plain, metric, limit: 0.55 }, ['direct']),
      ],
    },
    {
      scenario: 'cold 1 GiB over TLS, one client',
      clauses: [
        ahead(figures, { row: tls, metric, limit: 1 }, ['nginx']),
        ahead(figures, { row: tls, metric, limit: 1.3, as: 'the best registry' }, registries),
        ahead(figures, { row: tls, metric, limit: 2.5 }, ['dist3']),
        ahead(figures, { row: tls, metric, limit: 2.5 }, ['zot']),
        cost(figures, tls, registries, 1, 'CPU s/GB, the least of the registries'),
      ],
    },
  ];
}

/** A hundred blobs at the rate of sixteen warm connections, or one client's time: the larger. */
function herdFloorSeconds(figures: Figures): number | undefined {
  const one = figures.median('herd-1', 'weir', 'seconds');
  const rate = figures.median('warm-blob-16', 'weir', 'gbPerSecond');
  if (one === undefined || rate === undefined) return undefined;
  const gigabytes = (100 * scaleOf(figures.isQuick('herd'), undefined).herdBytes) / 1e9;
  return Math.max(one, gigabytes / rate);
}

function lineGoals(figures: Figures, caches: Names): readonly Goal[] {
  const metric = 'seconds';
  const herd = (name: string): number | undefined => figures.median('herd-100', 'weir', name);
  const near = divide(figures.median('image-near', 'weir', metric), figures.median('image-near', 'direct', metric));
  return [
    {
      scenario: 'cold 300 MB, upstream limited to 12.5 MB/s per connection',
      clauses: [
        ahead(figures, { row: 'limited-12', metric, limit: 5 }, caches),
        ahead(figures, { row: 'limited-12', metric, limit: 5 }, ['direct']),
      ],
    },
    {
      scenario: 'herd of 100 on the same upstream',
      clauses: [
        // To two decimals, as the goal is said: what a connection had on its way when it was cut comes twice, once per fill.
        atMost('the content from the upstream', herd('upstreamTimes'), 1.005),
        atMost('the larger of one client and 100 warm blobs', divide(herd(metric), herdFloorSeconds(figures)), 1.1),
      ],
    },
    {
      scenario: 'image of 60 layers, cold, by skopeo',
      clauses: [
        atMost('the direct time, near', near, 1.1),
        ahead(figures, { row: 'image-far', metric, limit: 1.5, as: '40 ms away' }, ['direct']),
      ],
    },
  ];
}

function stateGoals(figures: Figures): readonly Goal[] {
  const [busy, idle] = ['busy-hits', 'busy-hits-idle'].map((row) => figures.median(row, 'weir', 'p99Ms'));
  const overIdle = figures.median('stalled', 'weir', 'overIdleMb');
  const start = figures.median('start-1000000', 'weir', 'startMs');
  return [
    { scenario: 'hit p99 while ten fills of 5 MB/s each run', clauses: [atMost('idle', divide(busy, idle), 2)] },
    { scenario: '1,000 stalled readers', clauses: [atMost('over idle', overIdle, 128, 'MB')] },
    { scenario: 'start with 10^6 blobs', clauses: [atMost('to the first answer', start, 1000, 'ms')] },
  ];
}

export function evaluateGoals(results: Results): readonly Goal[] {
  const figures = new Figures(results);
  const registries = figures.peersOf(['registry']);
  const caches = figures.peersOf(['registry', 'proxy']);
  return [
    ...manifestGoals(figures, registries),
    ...bulkGoals(figures, registries, caches),
    ...lineGoals(figures, caches),
    ...stateGoals(figures),
  ];
}

/** `met`, `missed by 12 %`, or `not measured`. */
export function verdictOf({ value, limit, isAtLeast }: Clause): string {
  if (value === undefined || !Number.isFinite(value)) return 'not measured';
  const isMet = isAtLeast ? value >= limit : value <= limit;
  if (isMet) return 'met';
  const missed = Math.abs(value / limit - 1) * 100;
  return `missed by ${missed < 10 ? missed.toPrecision(2) : Math.round(missed)} %`;
}
