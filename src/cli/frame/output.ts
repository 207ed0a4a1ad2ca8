/** Where the words of the command line go: the only place that writes to the terminal. */
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { Writable } from 'node:stream';
import { processEnvironment } from '../../config/read/environment.ts';
import { oneLine } from '../../config/read/problem.ts';
import type { Env } from '../../config/read/variables.ts';

export interface Terminal {
  readonly isTTY: boolean;
  write(text: string): void;
}

/** What a command sees of the process that it runs in. */
export interface CliIo {
  readonly out: Terminal;
  readonly err: Terminal;
  readonly env: Env;
  readonly cwd: string;
  /** Calls `listener` for each SIGTERM and SIGINT until the returned function is called. */
  onStopSignal(listener: () => void): () => void;
  /** Asks a person at the terminal; undefined where there is none. Anything but yes is no. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
}

export function processIo(): CliIo {
  return {
    out: terminal(process.stdout),
    err: terminal(process.stderr),
    env: processEnvironment(),
    cwd: process.cwd(),
    onStopSignal(listener) {
      // The name of the signal and its number are of no use to a listener.
      const heard = (): void => listener();
      process.on('SIGTERM', heard);
      process.on('SIGINT', heard);
      return () => {
        process.off('SIGTERM', heard);
        process.off('SIGINT', heard);
      };
    },
    confirm:
      process.stdin.isTTY && process.stdout.isTTY
        ? (question) => askPerson(question, process.stdin, process.stdout)
        : undefined,
  };
}

/** One question and one line in return; the end of the input, and Ctrl-C at a terminal, are a no. */
export async function askPerson(question: string, input: NodeJS.ReadableStream, output: Writable): Promise<boolean> {
  const lines = createInterface({ input, output });
  const ended = once(lines, 'close').then(() => '');
  try {
    const answer = await Promise.race([lines.question(`${question} [y/N] `), ended]);
    return /^\s*y(?:es)?\s*$/i.test(answer);
  } finally {
    lines.close();
  }
}

function terminal(stream: NodeJS.WriteStream): Terminal {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // `weir config show | head -1` closes the pipe; nobody is left to be told.
    if (error.code !== 'EPIPE') throw error;
  });
  return { isTTY: Boolean(stream.isTTY), write: (text) => void stream.write(text) };
}

export function printLine(terminal: Terminal, line: string): void {
  terminal.write(`${line}\n`);
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.write(`${JSON.stringify(value)}\n`);
}

/** One line on standard error, whatever the message holds. */
export function printError(io: CliIo, message: string): void {
  printLine(io.err, `weir: ${oneLine(message)}`);
}
