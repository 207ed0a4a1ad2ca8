import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

/** Runs beside the program, and at its end tries what would take longer than anybody waits: 2^64 ways to read a text. */
const atExit = `
  process.on('exit', () => {
    const excessive = new RegExp('^(a+)+$');
    process.stdout.write(String(excessive.test('a'.repeat(64) + '!')));
  });`;

it('an expression that backtracks without end has one in the program', { timeout: 60_000 }, async () => {
  const hook = `data:text/javascript,${encodeURIComponent(atExit)}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', hook, main, '--version'], {
    timeout: 50_000,
    killSignal: 'SIGKILL',
  });
  expect(stdout).toMatch(/false$/);
});
