/** bench/chart.svg: a few rows as bars. Colours follow the reader's light or dark setting. */
import type { Results, RowResult } from '../results.ts';
import { formatNumber, metrics } from './metrics.ts';
import { summaryOf } from './tables.ts';

const panels: readonly (readonly [row: string, metric: string, title: string])[] = [
  ['manifest-tag-log', 'perSecond', 'Manifest by tag, access log on'],
  ['warm-blob-16', 'gbPerSecond', 'Warm 1 GiB, 16 connections'],
  ['cold-blob-plain', 'gbPerSecond', 'Cold 1 GiB'],
  ['cold-blob-tls', 'gbPerSecond', 'Cold 1 GiB, TLS upstream'],
  ['limited-12', 'seconds', 'Cold, 12.5 MB/s per connection'],
  ['herd-100', 'seconds', 'Herd of 100, 12.5 MB/s per connection'],
  ['image-far', 'seconds', 'Cold image of 60 layers, 40 ms away'],
  ['busy-hits', 'p99Ms', 'Hits while ten fills run'],
];

const width = 860;
const columns = 2;
const gap = 24;
const panelWidth = (width - gap * (columns + 1)) / columns;
const nameWidth = 124;
const valueWidth = 62;
const barHeight = 15;
const lineHeight = 21;
const headHeight = 30;

const style = `text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}
.title{font-weight:600;font-size:13px}.unit{fill:#59636e;font-size:11px}
.other{fill:#afb8c1}.direct{fill:#d8dee4}.weir{fill:#0969da}.own{font-weight:600}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.unit{fill:#9198a1}
.other{fill:#6e7681}.direct{fill:#3d444d}.weir{fill:#4493f8}}`;

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

interface Bar {
  readonly title: string;
  readonly kind: string;
  readonly value: number;
}

function barsOf(row: RowResult, metric: string, results: Results): readonly Bar[] {
  return Object.entries(results.peers).flatMap(([peer, { title, kind }]) => {
    const summary = summaryOf(row.cells[peer], metric);
    return summary === undefined ? [] : [{ title, kind, value: summary.median }];
  });
}

function drawBar({ title, kind, value }: Bar, most: number, x: number, y: number): string {
  const length = Math.max(1, (value / most) * (panelWidth - nameWidth - valueWidth));
  const shade = kind === 'weir' || kind === 'direct' ? kind : 'other';
  const own = kind === 'weir' ? ' class="own"' : '';
  const middle = y + barHeight - 3;
  return [
    `<text x="${x + nameWidth - 8}" y="${middle}" text-anchor="end"${own}>${escape(title)}</text>`,
    `<rect x="${x + nameWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2" class="${shade}"/>`,
    `<text x="${(x + nameWidth + length + 6).toFixed(1)}" y="${middle}"${own}>${formatNumber(value)}</text>`,
  ].join('');
}

function drawPanel(title: string, metric: string, bars: readonly Bar[], x: number, y: number): string {
  const { title: unit = metric, isMoreBetter = false } = metrics[metric] ?? {};
  const most = Math.max(...bars.map(({ value }) => value));
  const head =
    `<text x="${x}" y="${y + 14}" class="title">${escape(title)}</text>` +
    `<text x="${x + panelWidth}" y="${y + 14}" text-anchor="end" class="unit">${escape(unit)}, ` +
    `${isMoreBetter ? 'more' : 'less'} is better</text>`;
  return [head, ...bars.map((bar, index) => drawBar(bar, most, x, y + headHeight + index * lineHeight - 6))].join('\n');
}

export function renderChart(results: Results): string {
  const rows = new Map(results.scenarios.flatMap((scenario) => scenario.rows.map((row) => [row.id, row] as const)));
  const drawn = panels.flatMap(([id, metric, title]) => {
    const row = rows.get(id);
    const bars = row === undefined ? [] : barsOf(row, metric, results);
    return bars.length === 0 ? [] : [{ title, metric, bars }];
  });
  const parts: string[] = [];
  let y = gap;
  for (let index = 0; index < drawn.length; index += columns) {
    const line = drawn.slice(index, index + columns);
    line.forEach(({ title, metric, bars }, column) =>
      parts.push(drawPanel(title, metric, bars, gap + column * (panelWidth + gap), y)),
    );
    y += headHeight + Math.max(...line.map(({ bars }) => bars.length)) * lineHeight + gap;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" role="img" aria-label="weir and its peers">
<style>${style}</style>
${parts.join('\n')}
</svg>
`;
}
