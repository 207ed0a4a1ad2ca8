/** The rows of `scale.ts` as a table and as a chart with two logarithmic axes: what is flat there does not grow. */
import type { ScaleRow } from '../scale.ts';

type Column = Exclude<keyof ScaleRow, 'blobs'>;

const columns: Readonly<Record<Column, string>> = {
  startClean: 'start after an orderly stop, ms',
  startKilled: 'start after kill -9, ms',
  recovery: 'walk beside serving, ms',
  manifestMedian: 'manifest, median ms',
  manifestP99: 'manifest, p99 ms',
  manifestMedianInRecovery: 'manifest during the walk, median ms',
  manifestP99InRecovery: 'manifest during the walk, p99 ms',
  blobMedian: 'blob, each another one, median ms',
  blobP99: 'blob, each another one, p99 ms',
  catalogPage: '_catalog, a page of 100, ms',
  metrics: '/metrics, ms',
  eviction: '1 MiB into a full cache waits, ms',
  memoryAtStart: 'memory at the start, MB',
  memoryAfterRecovery: 'memory after the walk and its requests, MB',
  stop: 'stop, ms',
};

/** From the largest to the smallest. */
const drawn: readonly (readonly [Column, string])[] = [
  ['recovery', '#999999'],
  ['startClean', '#0b6e99'],
  ['memoryAfterRecovery', '#7a3e9d'],
  ['eviction', '#b3541e'],
  ['catalogPage', '#2e7d32'],
  ['blobMedian', '#c2185b'],
];

export function growthTable(rows: readonly ScaleRow[]): string {
  const counts = rows.map(({ blobs }) => blobs.toLocaleString('en'));
  const lines = Object.entries(columns).map(([column, title]) => {
    const cells = rows.map((row) => shown(row[column as Column]));
    return `| ${title} | ${cells.join(' | ')} |`;
  });
  return `# Growth with the number of blobs

\`npm run build && node bench/scale.ts\`, one run on one machine; a tenth of the blobs are manifests with a tag each, ten tags to
a repository. A row that is flat does not depend on how much is cached. Only the walk through all files grows, as it must:
it runs beside serving, on a thread of its own with the lowest priority. Requests come one at a time on one connection, and
all through the walk, so that a longer walk has seen thousands more of them before memory is read.

| | ${counts.join(' | ')} |
|---|${counts.map(() => '---:').join('|')}|
${lines.join('\n')}

![Growth with the number of blobs](SCALE.svg)
`;
}

export function growthChart(rows: readonly ScaleRow[]): string {
  const [width, height, left, right, top, bottom] = [880, 420, 70, 280, 20, 50];
  const values = drawn.flatMap(([column]) => rows.map((row) => row[column]));
  const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)))];
  const [first, last] = [Math.log10(rows.at(0)?.blobs ?? 1), Math.log10(rows.at(-1)?.blobs ?? 10)];
  const x = (blobs: number): number => left + ((Math.log10(blobs) - first) / (last - first)) * (width - left - right);
  const y = (value: number): number =>
    height - bottom - ((Math.log10(value) - low) / (high - low)) * (height - top - bottom);
  const grid = Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step)).map(
    (value) =>
      `<line x1="${left}" x2="${width - right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#ddd"/>` +
      `<text x="${left - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value}</text>`,
  );
  const ticks = rows.map(
    ({ blobs }) =>
      `<text x="${x(blobs)}" y="${height - bottom + 20}" text-anchor="middle">${blobs.toLocaleString('en')}</text>`,
  );
  let lowest = top;
  const lines = drawn.map(([column, colour]) => {
    const points = rows.map((row) => `${x(row.blobs).toFixed(1)},${y(row[column]).toFixed(1)}`).join(' ');
    // Below the label before it, where two lines end close together.
    lowest = Math.max(y(rows.at(-1)?.[column] ?? 1) + 4, lowest + 15);
    return (
      `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="2"/>` +
      `<text x="${width - right + 10}" y="${lowest.toFixed(1)}" fill="${colour}">${columns[column]}</text>`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="${width}" height="${height}" fill="white"/>
${[...grid, ...ticks, ...lines].join('\n')}
<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">blobs in the store</text>
</svg>
`;
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
