/** `weir doctor`: looks at everything that a newcomer gets wrong, and says what to do. */
import type { Config } from '../../config/values/config.ts';
import { loadConfig } from '../../config/load.ts';
import { formatProblem, oneLine } from '../../config/read/problem.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import type { EndpointProbe } from '../../upstream/try-endpoint.ts';
import type { Options } from '../frame/args.ts';
import type { CliDeps, Command, ExitCode } from '../frame/command.ts';
import { type Finding, Findings, type Level } from '../doctor/finding.ts';
import { checkAdmin, checkListen } from '../doctor/listeners.ts';
import type { Machine } from '../frame/machine.ts';
import { checkProcess } from '../doctor/process.ts';
import { checkRoot } from '../doctor/root.ts';
import { checkUpstream } from '../doctor/upstream.ts';
import { type CliIo, printJson, printLine } from '../frame/output.ts';
import { findUpstream } from './setup.ts';

/** Upstreams looked at side by side. */
const atOnce = 6;
/** For one upstream with all its endpoints. */
const upstreamTimeoutMs = 30_000;

export const doctor: Command = {
  name: 'doctor',
  options: ['config', 'upstream', 'json'],
  summary: 'Check configuration, machine and upstreams, and say what to do.',
  help:
    'Looks at the configuration, Node, open files, the cache root, the disk, both ports, and for each upstream at the\n' +
    'way there, its certificate, what answers, the credential, and what is left of its rate limit. Changes nothing, and\n' +
    'costs no pull. 0: nothing fails. With --upstream, only that one. --json: one object a line, a summary at the end.',
  run: async (options, io, deps) => {
    const report = new Report(options.json, io);
    await examine(options, io, deps, report);
    return report.finish();
  },
};

async function examine(options: Options, io: CliIo, deps: CliDeps, report: Report): Promise<void> {
  const loaded = loadConfig({ path: options.config, env: io.env, cwd: io.cwd });
  const found = new Findings('config');
  if (loaded.kind === 'problems') {
    for (const problem of loaded.problems) found.fail('keys', formatProblem(problem), 'see docs/configuration.md');
    report.add(found.list);
    return;
  }
  const { config } = loaded;
  const only = options.upstream === undefined ? undefined : findUpstream(config.upstreams, options.upstream).key;
  const { machine } = deps;
  if (only === undefined) {
    found.ok('keys', `no problems; ${config.upstreams.length} upstreams`);
    report.add(found.list);
    report.add(checkProcess(machine));
    for (const check of [checkRoot, checkListen, checkAdmin]) {
      report.add(await check(config, machine));
    }
  }
  await examineUpstreams(config, only, deps, report);
}

async function examineUpstreams(
  config: Config,
  only: string | undefined,
  deps: CliDeps,
  report: Report,
): Promise<void> {
  if (config.offline) {
    const found = new Findings('upstreams');
    found.ok('offline', 'weir is configured not to dial, so none was looked at');
    report.add(found.list);
    return;
  }
  const all = [...(await deps.createProbes(config))];
  const chosen = all.filter(([key]) => only === undefined || key === only);
  const turns = new Semaphore(atOnce);
  const waiting = new Set(chosen.map(([key]) => key));
  report.waitFor(waiting);
  await Promise.all(
    chosen.map(async ([key, probes]) => {
      using _turn = await turns.acquire();
      const findings = await examineUpstream(key, probes, deps.machine);
      waiting.delete(key);
      report.add(findings);
      report.waitFor(waiting);
    }),
  );
}

async function examineUpstream(
  key: string,
  probes: readonly EndpointProbe[],
  { clock }: Machine,
): Promise<readonly Finding[]> {
  const deadline = new AbortController();
  using _timer = clock.setTimer(upstreamTimeoutMs, () => deadline.abort(new Error(`${upstreamTimeoutMs} ms are over`)));
  return await checkUpstream(key, probes, clock, deadline.signal);
}

/** Findings as they come, and on a terminal what is being waited for. */
class Report {
  readonly #isJson: boolean;
  readonly #io: CliIo;
  readonly #counts: Record<Level, number> = { ok: 0, warn: 0, fail: 0 };

  constructor(isJson: boolean, io: CliIo) {
    this.#isJson = isJson;
    this.#io = io;
  }

  add(findings: readonly Finding[]): void {
    this.waitFor(new Set());
    for (const finding of findings) {
      this.#counts[finding.level] += 1;
      if (this.#isJson) printJson(this.#io.out, finding);
      else this.#print(finding);
    }
  }

  /** Replaces the line that says so. */
  waitFor(subjects: ReadonlySet<string>): void {
    if (this.#isJson || !this.#io.err.isTTY) return;
    const names = [...subjects].slice(0, 4).join(', ');
    const more = subjects.size > 4 ? ` and ${subjects.size - 4} more` : '';
    this.#io.err.write(`\r\u001b[K${names === '' ? '' : `looking at ${names}${more} …`}`);
  }

  finish(): ExitCode {
    this.waitFor(new Set());
    const { ok, warn, fail } = this.#counts;
    if (this.#isJson) printJson(this.#io.out, { summary: this.#counts });
    else printLine(this.#io.out, `${ok} ok, ${warn} to think about, ${fail} to repair`);
    return fail === 0 ? 0 : 1;
  }

  #print({ level, subject, check, message, advice }: Finding): void {
    printLine(this.#io.out, `${level.padEnd(4)}  ${subject} ${check}: ${oneLine(message)}`);
    if (advice !== undefined) printLine(this.#io.out, `      -> ${oneLine(advice)}`);
  }
}
