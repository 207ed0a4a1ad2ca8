import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readVersion } from '../../src/config/version.ts';

const fixture = join(import.meta.dirname, 'fixture-process.ts');
const env = { PATH: process.env['PATH'] };

describe('a real process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('stops in order on %s and exits with 0', async (signal) => {
    const child = spawn(process.execPath, [fixture], { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 25_000 });
    let heard = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (heard === '') child.kill(signal);
      heard += text;
    });
    const code = await new Promise((done) => child.once('close', (exitCode, killedBy) => done(killedBy ?? exitCode)));
    expect(code).toBe(0);
    expect(heard).toBe('started\nstopping\n');
  });

  it('is not bothered by a reader that is gone', async () => {
    const child = spawn(process.execPath, [fixture, 'config', 'show'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 25_000,
    });
    child.stdout.destroy();
    let heard = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (heard += text));
    const code = await new Promise((done) => child.once('close', (exitCode, killedBy) => done(killedBy ?? exitCode)));
    expect([code, heard]).toEqual([0, '']);
  });

  it('reads the environment and says what is wrong with it', async () => {
    const failed = promisify(execFile)(process.execPath, [fixture, 'config', 'check'], {
      env: { ...env, WEIR_LISTN: 'x' },
    });
    await expect(failed).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('did you mean WEIR_LISTEN?'),
    });
  });

  it('knows its version', () => {
    const manifest = JSON.parse(readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8')) as {
      version: string;
    };
    expect(readVersion()).toBe(manifest.version);
  });
});
