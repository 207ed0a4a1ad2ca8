/** `--write`: shows the difference, asks, writes, and says what to run. */
import { UsageError } from '../../frame/args.ts';
import type { ExitCode } from '../../frame/command.ts';
import { type CliIo, printJson, printLine } from '../../frame/output.ts';
import type { Setup } from '../contract/client-setup.ts';
import { lineDiff } from './line-diff.ts';
import { fresh } from './merge.ts';
import { type Placed, plan, put } from './place.ts';

export interface WriteOptions {
  readonly client: string;
  /** Absolute. */
  readonly root: string;
  /** Do not ask. */
  readonly isAgreed: boolean;
  readonly json: boolean;
}

interface Result {
  readonly path: string;
  readonly result: 'written' | 'unchanged' | 'conflict';
  readonly backup?: string;
  readonly todo?: string;
}

/** 0: everything is as it should be · 1: something is left to do by hand, or the answer was no. */
export async function writeSetup(setup: Setup, options: WriteOptions, io: CliIo): Promise<ExitCode> {
  const { client, root, isAgreed, json } = options;
  if (setup.files.length === 0) throw new UsageError(`there is nothing to write for ${client}; leave --write away`);
  const planned = await Promise.all(setup.files.map((file) => plan(file, root)));
  const changes = planned.filter(({ merged }) => merged.kind === 'changed');
  if (!json) for (const one of planned) io.out.write(describe(one));
  if (changes.length > 0 && !isAgreed && !(await isWanted(io, json))) {
    printLine(io.err, 'weir: nothing was written');
    return 1;
  }
  const results: Result[] = [];
  for (const one of planned) results.push(await carryOut(one));
  const hasConflict = results.some(({ result }) => result === 'conflict');
  if (json) printJson(io.out, { client, files: results, commands: setup.commands, notes: setup.notes });
  else say(results, setup, changes.length > 0, io);
  return hasConflict ? 1 : 0;
}

async function isWanted({ confirm }: CliIo, json: boolean): Promise<boolean> {
  if (confirm === undefined || json)
    throw new UsageError('nothing was written: there is no terminal to ask at, so say --yes, or leave --write away');
  return confirm('Write this?');
}

async function carryOut(one: Placed): Promise<Result> {
  const { path, merged } = one;
  switch (merged.kind) {
    case 'same':
      return { path, result: 'unchanged' };
    case 'conflict':
      return { path, result: 'conflict', todo: merged.todo };
    case 'changed': {
      const backup = await put(one, Date.now());
      return { path, result: 'written', ...(backup === undefined ? {} : { backup }) };
    }
  }
}

function describe({ path, before, merged, file }: Placed): string {
  switch (merged.kind) {
    case 'same':
      return '';
    case 'changed':
      return lineDiff(path, before, merged.text);
    case 'conflict':
      return `${path}: ${merged.todo}\n${fresh(file.content).replaceAll(/^/gm, '    ').trimEnd()}\n`;
  }
}

function say(results: readonly Result[], { commands, notes }: Setup, isChanged: boolean, io: CliIo): void {
  for (const { path, result, backup } of results) {
    if (result === 'written')
      printLine(io.out, `wrote ${path}${backup === undefined ? '' : `; the old one is ${backup}`}`);
  }
  const left = results.filter(({ result }) => result === 'conflict').map(({ path }) => path);
  if (left.length > 0) printLine(io.err, `weir: left to do by hand: ${left.join(', ')}`);
  if (!isChanged) {
    if (left.length === 0) printLine(io.out, 'nothing to change');
    return;
  }
  for (const note of notes) printLine(io.out, `# ${note}`);
  if (commands.length > 0) printLine(io.out, '# Then:');
  for (const command of commands) printLine(io.out, `#   ${command}`);
}
