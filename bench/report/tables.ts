/** The tables: one line for each row and metric, one column for each peer, the ratio of weir to the best other. */
import type { Cell, Results, RowResult, ScenarioResult } from '../results.ts';
import { summarise, type Summary } from '../support/stats.ts';
import { formatNumber, metrics } from './metrics.ts';

export function summaryOf(cell: Cell | undefined, metric: string): Summary | undefined {
  if (cell === undefined || cell.problem !== undefined) return undefined;
  const values = cell.samples.flatMap((sample) => sample[metric] ?? []);
  return summarise(values);
}

/** Metrics that any peer has in a row, in the order of `metrics`. */
function metricsOf(row: RowResult): readonly string[] {
  const found = new Set(
    Object.values(row.cells).flatMap((cell) => cell.samples.flatMap((sample) => Object.keys(sample))),
  );
  return Object.keys(metrics).filter((name) => found.has(name));
}

/** `1.23 (1.1–1.3)`, or the first word of what went wrong. */
function formatCell(cell: Cell | undefined, metric: string): string {
  if (cell === undefined) return '';
  if (cell.problem !== undefined) return cell.problem.split(':')[0] ?? '';
  const summary = summaryOf(cell, metric);
  if (summary === undefined) return '';
  const { median, min, max, count } = summary;
  const range = count > 1 ? ` (${formatNumber(min)}–${formatNumber(max)})` : '';
  return `${formatNumber(median)}${range}`;
}

/** weir's median as a multiple of the best other cache's. */
function ratioOf(row: RowResult, metric: string, isCache: (peer: string) => boolean): string {
  const own = summaryOf(row.cells['weir'], metric);
  const others = Object.entries(row.cells)
    .filter(([peer]) => peer !== 'weir' && isCache(peer))
    .flatMap(([peer, cell]) => {
      const summary = summaryOf(cell, metric);
      return summary === undefined ? [] : [{ peer, median: summary.median }];
    });
  const isMoreBetter = metrics[metric]?.isMoreBetter === true;
  const best = others.toSorted((a, b) => (isMoreBetter ? b.median - a.median : a.median - b.median))[0];
  if (own === undefined || best === undefined || best.median === 0) return '';
  return `${formatNumber(own.median / best.median)}x ${best.peer}`;
}

function table(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, index) => (index < 2 ? '---' : '---:'))), ...lines.map(line)].join('\n');
}

function problemsOf(scenario: ScenarioResult, results: Results): readonly string[] {
  const lines = scenario.rows.flatMap((row) =>
    Object.entries(row.cells).flatMap(([peer, { problem }]) =>
      problem === undefined ? [] : [`- ${row.title}, ${results.peers[peer]?.title ?? peer}: ${problem}`],
    ),
  );
  return lines.length === 0 ? [] : [lines.join('\n')];
}

export function scenarioTable(scenario: ScenarioResult, results: Results): string {
  const present = new Set(scenario.rows.flatMap((row) => Object.keys(row.cells)));
  const peers = Object.keys(results.peers).filter((peer) => present.has(peer));
  const isCache = (peer: string): boolean => !['direct', 'weir'].includes(results.peers[peer]?.kind ?? '');
  const lines = scenario.rows.flatMap((row) =>
    metricsOf(row).map((metric, index) => [
      index === 0 ? row.title : '',
      metrics[metric]?.title ?? metric,
      ...peers.map((peer) => formatCell(row.cells[peer], metric)),
      ratioOf(row, metric, isCache),
    ]),
  );
  const header = ['', '', ...peers.map((peer) => results.peers[peer]?.title ?? peer), 'weir / best other'];
  const runs = Math.max(
    0,
    ...scenario.rows.flatMap((row) => Object.values(row.cells).map(({ samples }) => samples.length)),
  );
  const when = `${runs} runs, ${scenario.at.slice(0, 10)}${scenario.isQuick ? ', quick' : ''}.`;
  return [
    `### ${scenario.title}`,
    `${scenario.about} ${when}`,
    table(header, lines),
    ...problemsOf(scenario, results),
  ].join('\n\n');
}
