/** A second process for tests: runs one of the programs beside this file and talks in JSON lines. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { patienceMs, within } from '../../support/gate.ts';

export interface ChildLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Child extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly lines: readonly ChildLine[];
  /** The next line with that event, in the past or to come; rejects when the child ends without it. */
  line(event: string): Promise<ChildLine>;
  /** Resolves when it has said so many lines in all; rejects when it ends before. */
  said(count: number): Promise<void>;
  /** Resolves when it has ended: exit code, or the signal's name. */
  ended(): Promise<number | string>;
}

/** `prefix`: shell text before the command, e.g. `ulimit -f 100;`. */
export function startChild(program: string, args: readonly string[], prefix = ''): Child {
  const script = join(import.meta.dirname, program);
  const command = `${prefix} exec "$0" "$@"`;
  const child = spawn('/bin/sh', ['-c', command, process.execPath, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: ChildLine[] = [];
  const watchers = new Set<() => void>();
  let stderr = '';
  let hasEnded = false;
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  const reader = createInterface(child.stdout);
  reader.on('line', (text) => {
    lines.push(JSON.parse(text) as ChildLine);
    for (const wake of watchers) wake();
  });
  const closed = Promise.all([once(child, 'close'), once(reader, 'close')]).then(() => {
    hasEnded = true;
    for (const wake of watchers) wake();
  });

  /** Resolves with the first answer of `find`, now or after any line to come. */
  const watch = <T>(find: () => T | undefined, what: string): Promise<T> => {
    const found = new Promise<T>((resolve, reject) => {
      const look = (): void => {
        const match = find();
        if (match === undefined && !hasEnded) return;
        watchers.delete(look);
        if (match !== undefined) resolve(match);
        else reject(new Error(`the child ended without ${what}: ${stderr}`));
      };
      watchers.add(look);
      look();
    });
    return within(patienceMs, found, () => `no ${what} from the child; stderr: ${stderr}`);
  };
  const ended = async (): Promise<number | string> => {
    await within(patienceMs, closed, () => `the child does not end; stderr: ${stderr}`);
    return child.exitCode ?? child.signalCode ?? 'unknown';
  };
  return {
    process: child,
    lines,
    line: (event) => watch(() => lines.find((candidate) => candidate.event === event), `"${event}"`),
    said: async (count) => void (await watch(() => (lines.length >= count ? true : undefined), `${count} lines`)),
    ended,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended();
    },
  };
}

/** In the child. */
export function say(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
  console.log(JSON.stringify({ event, ...fields }));
}
