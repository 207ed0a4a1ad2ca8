/** `npm run demo`, as a newcomer runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { tempDirectory } from '../support/temp.ts';

const script = resolve(import.meta.dirname, 'demo.ts');
/** Pulls of 24 MB at 20 MB/s, on a machine that may have much else to do. */
const timeoutMs = 120_000;

class Demo implements AsyncDisposable {
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  out = '';
  err = '';

  constructor(args: readonly string[], directory: string) {
    const env = { ...process.env, TMPDIR: directory, WEIR_LISTEN: 'not an address' };
    this.#child = spawn(process.execPath, [script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    this.ended = once(this.#child, 'close').then(() => undefined);
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Resolves when the text has been printed. */
  async printed(text: string): Promise<void> {
    const isOver = (): boolean => this.out.includes(text) || this.exitCode !== null;
    await eventually(isOver, () => `"${text}" in\n${this.out}${this.err}`, timeoutMs);
    expect(this.out, this.err).toContain(text);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    await this.ended;
  }
}

/** The cells of the row with that title: time, hit, miss, shared, from upstream, to clients, saved. */
function rowOf(output: string, title: string): readonly string[] {
  const line = output.split('\n').find((one) => one.startsWith(`${title}  `)) ?? '';
  return line.slice(title.length).trim().split(/ {2,}/);
}

describe('the demo', { timeout: timeoutMs }, () => {
  it('prints what was fetched and what was saved, and leaves nothing behind', async () => {
    await using temp = await tempDirectory();
    await using demo = new Demo(['--once'], temp.path);
    await demo.ended;
    expect(demo.err).toBe('');
    expect(demo.exitCode).toBe(0);

    // A manifest, a config and six layers: eight answers for each client.
    const cold = rowOf(demo.out, 'through weir, cold');
    // What is fetched ahead of the client is a hit or shared by the time it asks; the manifest and the config never are.
    const [, ...coldAnswers] = cold.slice(0, 4).map(Number);
    expect(coldAnswers.reduce((sum, count) => sum + count, 0)).toBe(8);
    expect(coldAnswers[1]).toBeGreaterThanOrEqual(2);
    expect(cold.slice(4)).toEqual(['24.0 MB', '24.0 MB', '0.0 MB']);
    const warm = rowOf(demo.out, 'through weir, warm');
    // What was proved but is still being made durable is shared rather than a hit: nothing comes from the upstream.
    expect(Number(warm[1]) + Number(warm[3])).toBe(8);
    expect([warm[2], ...warm.slice(4)]).toEqual(['0', '0.0 MB', '24.0 MB', '24.0 MB']);
    const [, hits, misses, joined, ...bytes] = rowOf(demo.out, 'through weir, cold, 5 clients at once');
    expect(Number(misses) + Number(hits) + Number(joined)).toBe(40);
    expect(Number(misses)).toBeLessThanOrEqual(8);
    expect(bytes).toEqual(['24.0 MB', '120.0 MB', '96.0 MB']);
    const down = rowOf(demo.out, 'through weir, warm, the upstream is down');
    expect(Number(down[1]) + Number(down[3])).toBe(8);
    expect([down[2], ...down.slice(4)]).toEqual(['0', '0.0 MB', '24.0 MB', '24.0 MB']);

    expect(await readdir(temp.path)).toEqual([]);
  });

  it('keeps running until Ctrl-C, with commands that work', async () => {
    await using temp = await tempDirectory();
    await using demo = new Demo([], temp.path);
    await demo.printed('Ctrl-C ends them');
    const [manifest = ''] = /http:\S+\/manifests\/1\.0/.exec(demo.out) ?? [];
    const [blob = ''] = /http:\S+\/blobs\/sha256:[0-9a-f]{64}/.exec(demo.out) ?? [];
    const [metrics = ''] = /http:\S+\/metrics/.exec(demo.out) ?? [];
    for (const url of [manifest, blob]) {
      const response = await fetch(url);
      expect(response.status).toBe(200);
      expect(response.headers.get('cache-status')).toMatch(/^weir; /);
      await response.arrayBuffer();
    }
    expect(await (await fetch(metrics)).text()).toMatch(/^weir_requests_total\{/m);

    demo.signal('SIGINT');
    await demo.ended;
    expect(demo.err).toBe('');
    expect(demo.exitCode).toBe(0);
    expect(await readdir(temp.path)).toEqual([]);
    await expect(fetch(manifest)).rejects.toThrow();
  });

  it('says in one line what is wrong', async () => {
    await using temp = await tempDirectory();
    await using demo = new Demo(['--twice'], temp.path);
    await demo.ended;
    expect(demo.exitCode).toBe(1);
    expect(demo.err).toMatch(/^demo: .*--twice.*\n$/);
    expect(demo.out).toBe('');
  });
});
