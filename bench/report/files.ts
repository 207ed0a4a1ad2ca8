/** The written report: results.json is the source, RESULTS.md and chart.svg are made of it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mergeResults, type Results } from '../results.ts';
import { renderChart } from './chart.ts';
import { renderResults } from './markdown.ts';

const directory = resolve(import.meta.dirname, '..');
const source = join(directory, 'results.json');
const notes = join(directory, 'NOTES.md');

function readResults(): Results | undefined {
  return existsSync(source) ? (JSON.parse(readFileSync(source, 'utf8')) as Results) : undefined; // our own file
}

/** Writes the report anew from what is stored. */
export function writeReport(): void {
  const results = readResults();
  if (results === undefined) throw new Error('there is no results.json yet');
  const text = existsSync(notes) ? readFileSync(notes, 'utf8') : '';
  writeFileSync(join(directory, 'RESULTS.md'), renderResults(results, text));
  writeFileSync(join(directory, 'chart.svg'), renderChart(results));
}

/** Stores a run over what was there for the same scenarios, and writes the report. */
export function storeResults(results: Results): void {
  writeFileSync(source, `${JSON.stringify(mergeResults(readResults(), results), rounded, 1)}\n`);
  writeReport();
}

/** Six digits say more than any measurement does. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(6)) : value;
}
