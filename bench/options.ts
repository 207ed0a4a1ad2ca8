/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';

export const usage = `npm run bench -- [options]

  --quick            smaller blobs, three runs: a few minutes in all; prints, and writes nothing
  --only a,b         scenarios whose name contains one of the words; prints, and writes nothing
  --peers a,b        only these peers (--list names them)
  --runs N           measurements of each row and peer (default 7; quick 3)
  --also NAME=PATH   another build of weir as a further peer: PATH is its dist/main.js
  --write            writes the report in spite of --quick or --only, over what was there for these scenarios
  --report           writes the report anew from bench/results.json and bench/NOTES.md, and measures nothing
  --list             names scenarios and peers
  --help             this text

Without --quick and --only it takes about three quarters of an hour and writes bench/RESULTS.md, results.json and chart.svg.
Where no goal compares a peer in a row, it is asked twice.`;

export interface Options {
  readonly mode: 'run' | 'list' | 'help' | 'report';
  readonly isQuick: boolean;
  readonly only: readonly string[];
  readonly peers: readonly string[];
  readonly runs: number | undefined;
  readonly also: readonly (readonly [name: string, program: string])[];
  readonly isWritten: boolean;
}

/** What the caller got wrong. */
export class UsageError extends Error {
  readonly kind = 'usage';
}

function words(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => text.split(',')).filter((word) => word !== '');
}

function parseAlso(text: string): readonly [string, string] {
  const [, name, program] = /^([a-z][a-z0-9-]*)=(.+)$/.exec(text) ?? [];
  if (name === undefined || program === undefined) throw new UsageError(`--also ${text}: NAME=PATH is needed`);
  return [name, program];
}

function parseRuns(text: string): number {
  const runs = Number(text);
  if (!Number.isInteger(runs) || runs < 1 || runs > 100) throw new UsageError(`--runs ${text}: a number from 1 to 100`);
  return runs;
}

/** Throws UsageError. */
export function parseOptions(args: readonly string[], peerNames: readonly string[]): Options {
  const values = parse(args);
  const only = words(values.only);
  const peers = words(values.peers);
  const unknown = peers.find((peer) => !peerNames.includes(peer));
  if (unknown !== undefined) throw new UsageError(`--peers: there is no ${unknown}; ${peerNames.join(', ')}`);
  const also = values.also.map(parseAlso);
  const taken = also.find(([name]) => peerNames.includes(name));
  if (taken !== undefined) throw new UsageError(`--also: ${taken[0]} is a peer already`);
  const mode = values.help ? 'help' : values.list ? 'list' : values.report ? 'report' : 'run';
  const isWritten = values.write || (!values.quick && only.length === 0);
  const runs = values.runs === undefined ? undefined : parseRuns(values.runs);
  return { mode, isQuick: values.quick, only, peers, runs, also, isWritten };
}

function parse(args: readonly string[]): ReturnType<typeof parseStrictly> {
  try {
    return parseStrictly(args);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function parseStrictly(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      peers: { type: 'string', multiple: true, default: [] },
      runs: { type: 'string' },
      also: { type: 'string', multiple: true, default: [] },
      write: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values;
}
