import { describe, expect, it } from 'vitest';
import { renderChart } from '../../bench/report/chart.ts';
import { renderResults } from '../../bench/report/markdown.ts';
import { formatNumber } from '../../bench/report/metrics.ts';
import { mergeResults, Recorder } from '../../bench/results.ts';
import { resultsOf } from './results-of.ts';

const rows = {
  'cold-blob-plain': { weir: { gbPerSecond: 0.6, seconds: 1.7 }, nginx: { gbPerSecond: 0.4, seconds: 2.5 } },
};

describe('the report', () => {
  it('shows three significant digits', () => {
    expect([51_908.4, 23.44, 0.012345, 0, Number.NaN].map(formatNumber)).toEqual([
      '51,908',
      '23.4',
      '0.0123',
      '0',
      '–',
    ]);
  });

  it('has a column for each peer that took part and the ratio to the best other', () => {
    const text = renderResults(resultsOf(rows), '');
    expect(text).toContain('|  |  | weir | nginx | weir / best other |');
    expect(text).toContain('| row cold-blob-plain | GB/s | 0.6 | 0.4 | 1.5x nginx |');
  });

  it('names what is missing, and keeps the notes', () => {
    const text = renderResults(resultsOf(rows), '## By hand\n\nThe reason.\n');
    expect(text).toContain('- missing: Angos (not on the PATH)');
    expect(text).toContain('\n## By hand\n\nThe reason.\n');
  });

  it('gives a peer that failed no number, and says why', () => {
    const recorder = new Recorder();
    recorder.add('row', 'a row', 'weir', { seconds: 1 });
    recorder.add('row', 'a row', 'nginx', { seconds: 0.001 });
    recorder.fail('row', 'a row', 'nginx', 'wrong: other bytes');
    const results = resultsOf({});
    const scenarios = results.scenarios.map((scenario) => ({ ...scenario, rows: recorder.rows() }));
    const text = renderResults({ ...results, scenarios }, '');
    expect(text).toContain('| a row | s | 1 | wrong |  |');
    expect(text).toContain('- a row, nginx: wrong: other bytes');
    expect(text).not.toContain('0.001');
  });

  it('draws a bar for each number of a row, and escapes names', () => {
    const results = resultsOf(rows);
    const svg = renderChart({
      ...results,
      peers: { ...results.peers, weir: { title: '<&"', version: '', kind: 'weir' } },
    });
    expect(svg.match(/<rect /g)).toHaveLength(2);
    expect(svg).toContain('&lt;&amp;&quot;');
    expect(svg).toContain('prefers-color-scheme:dark');
  });

  it('keeps scenarios of an earlier run that were not run again', () => {
    const old = resultsOf(rows);
    const other = { ...resultsOf(rows).scenarios[0], name: 'another', title: 'Another' };
    const merged = mergeResults(old, { ...old, scenarios: [other] as typeof old.scenarios });
    expect(merged.scenarios.map(({ name }) => name)).toEqual(['everything', 'another']);
    expect(mergeResults(merged, old).scenarios).toHaveLength(2);
  });
});
