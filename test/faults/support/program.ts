/** The published program as a command: what it prints and how it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { within } from '../../support/gate.ts';

const entry = resolve(import.meta.dirname, '..', '..', '..', 'dist', 'main.js');

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface ProgramOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** As an ordinary user, to whom the modes of files apply. */
  readonly obeysModes?: boolean;
}

/** Runs it to its end. One that does not end by itself is killed after the deadline, and the promise rejects. */
export async function runProgram(
  args: readonly string[],
  { cwd, env = {}, obeysModes = false }: ProgramOptions,
): Promise<Ended> {
  const command = [process.execPath, entry, ...args];
  const user = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'];
  const [program = '', ...rest] = obeysModes ? [...user, ...command] : command;
  const child = spawn(program, rest, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', HOME: cwd, ...env },
  });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text.out += piece));
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (text.err += piece));
  try {
    await within(20_000, once(child, 'close'), () => `the end of weir ${args.join(' ')}:\n${text.out}${text.err}`);
  } finally {
    child.kill('SIGKILL');
  }
  return { code: child.exitCode, ...text };
}
