/** bench/RESULTS.md: machine, goals, chart, notes by hand, tables. */
import type { Results } from '../results.ts';
import { type Clause, evaluateGoals, verdictOf } from './goals.ts';
import { formatNumber } from './metrics.ts';
import { scenarioTable } from './tables.ts';

function formatLimit({ limit, isAtLeast, unit }: Clause): string {
  const shown = limit < 1.001 && limit > 1 ? '1.00' : formatNumber(limit);
  return `${isAtLeast ? 'at least' : 'at most'} ${shown}${unit === 'x' ? 'x' : ` ${unit}`}`;
}

function formatValue({ value, unit }: Clause): string {
  if (value === undefined) return '–';
  return `${formatNumber(value)}${unit === 'x' ? 'x' : ` ${unit}`}`;
}

/** One line for each comparison of each goal; after a part of the scenarios, of those that were measured. */
export function goalTable(results: Results, isPartial = false): string {
  const shown = ({ value }: Clause): boolean => !isPartial || value !== undefined;
  const lines = evaluateGoals(results).flatMap(({ scenario, clauses }) =>
    clauses.filter(shown).map((clause, index) => {
      const cells = [index === 0 ? scenario : '', `${formatLimit(clause)} ${clause.text}`];
      return `| ${[...cells, formatValue(clause), verdictOf(clause)].join(' | ')} |`;
    }),
  );
  return ['| scenario | goal | measured | |', '| --- | --- | ---: | --- |', ...lines].join('\n');
}

function peerList({ peers, missing }: Results): string {
  const present = Object.values(peers).map(({ title, version }) => `- ${title}${version === '' ? '' : ` ${version}`}`);
  return [...present, ...missing.map((one) => `- missing: ${one}`)].join('\n');
}

const method = `weir and its peers run one after the other against the same upstream on one machine: every round asks each in turn.
Figures are medians with the range in parentheses; absolute times on a shared machine mean little, ratios within one run
do. The upstream is nginx with static files, on the same cores; its own log says how many bytes left it. Every peer's
bytes are checked by hash before its numbers count. weir runs with its defaults except root, ports, upstream and the
variable that a row names; hashing, fsync and the withheld last byte stay on, nginx checks nothing. Processor time is
user and system time of all processes of the server, until it and the upstream have come to rest. Access logs of the
peers are off where a row does not say otherwise; weir's is on, as by default.`;

/** `notes`: what people wrote about it, in bench/NOTES.md. */
export function renderResults(results: Results, notes: string): string {
  const machine = Object.entries(results.machine).map(([name, value]) => `- ${name}: ${value}`);
  return `${[
    '# Results of `npm run bench`',
    '<!-- Written by bench/run.ts from results.json and NOTES.md. Change those, and run `npm run bench -- --report`. -->',
    method,
    '## Machine and peers',
    machine.join('\n'),
    peerList(results),
    '## Goals',
    goalTable(results),
    '![weir and its peers](chart.svg)',
    ...(notes.trim() === '' ? [] : [notes.trim()]),
    '## Figures',
    'The last column is weir’s median as a multiple of the best other cache’s.',
    ...results.scenarios.map((scenario) => scenarioTable(scenario, results)),
  ].join('\n\n')}\n`;
}
