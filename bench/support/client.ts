/** The load generators: our own client for bodies, wrk for many small requests. */
import { resolve } from 'node:path';
import { cleanEnvironment, run } from '../../test/e2e/process.ts';
import { prepareOwnProgram } from '../../test/e2e/tools.ts';
import { manifestType } from './content.ts';

/** One connection of `Client.get`. */
export interface Download {
  readonly status: number;
  readonly bytes: number;
  readonly sha256?: string;
  readonly firstByteSeconds: number;
  readonly seconds: number;
  readonly error?: string;
}

export interface GetReport {
  readonly seconds: number;
  readonly bytes: number;
  readonly downloads: readonly Download[];
}

export interface GetOptions {
  readonly connections?: number;
  /** How many of them hash what they receive, as container runtimes do. */
  readonly hash?: number;
  /** Path that each connection asks for first; of a list, the i-th takes the i-th. */
  readonly before?: string | readonly string[];
  readonly range?: string;
  /** Bytes per second that each connection takes. */
  readonly rate?: number;
  /** Downloads over and over, and stops wherever that time ends. */
  readonly seconds?: number;
  /** How many URLs further each repetition goes. */
  readonly step?: number;
  /** Bytes of the socket's receive buffer. */
  readonly receive?: number;
  /** What it is killed after. */
  readonly timeoutMs?: number;
}

/** Latencies at a steady beat, each counted from the moment the request was due. */
export interface BeatReport {
  readonly requests: number;
  readonly failed: number;
  readonly error?: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface RequestRate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export class Client {
  readonly program: string;

  private constructor(program: string) {
    this.program = program;
  }

  static async prepare(progress: (line: string) => void): Promise<Client> {
    const module = resolve(import.meta.dirname, '..', 'client');
    return new Client(await prepareOwnProgram(module, 'client', progress));
  }

  async get(url: string | readonly string[], { timeoutMs, ...options }: GetOptions = {}): Promise<GetReport> {
    const flags = Object.entries(options).map(([name, value]) => `-${name}=${[value].flat().join(',')}`);
    const { stdout } = await run(this.program, ['get', ...flags, ...[url].flat()], { timeoutMs: timeoutMs ?? 240_000 });
    return JSON.parse(stdout) as GetReport; // our own program's answer
  }

  /** HEAD as fast as it is answered; throws when any connection broke. One processor, as wrk takes one. */
  async flood(url: string, connections: number, seconds: number): Promise<RequestRate> {
    const args = ['flood', `-connections=${connections}`, `-seconds=${seconds}`, url];
    const env = cleanEnvironment({ GOMAXPROCS: '1' });
    const { stdout } = await run(this.program, args, { env, timeoutMs: (seconds + 90) * 1000 });
    const report = JSON.parse(stdout) as BeatReport & { readonly seconds: number }; // our own program's answer
    if (report.failed > 0) throw new Error(report.error);
    return { perSecond: report.requests / report.seconds, p50Ms: report.p50Ms, p99Ms: report.p99Ms };
  }

  async beat(urls: readonly string[], perSecond: number, seconds: number): Promise<BeatReport> {
    const flags = [`-rate=${perSecond}`, `-seconds=${seconds}`];
    const { stdout } = await run(this.program, ['beat', ...flags, ...urls], { timeoutMs: (seconds + 60) * 1000 });
    return JSON.parse(stdout) as BeatReport; // our own program's answer
  }
}

const unitMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

/** What `wrk --latency` prints. Throws when it counted errors: a server that refuses is not fast. */
export function parseWrk(text: string): RequestRate {
  const failed = /^\s*(Socket errors: .*|Non-2xx or 3xx responses: .*)$/m.exec(text);
  if (failed !== null) throw new Error(failed[1]);
  const latency = (percent: string): number => {
    const [, value, unit = ''] = new RegExp(`^\\s*${percent}%\\s+([\\d.]+)(\\w+)$`, 'm').exec(text) ?? [];
    return Number(value) * (unitMs[unit] ?? Number.NaN);
  };
  const perSecond = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(text)?.[1]);
  if (!Number.isFinite(perSecond)) throw new Error(`wrk printed no rate:\n${text}`);
  return { perSecond, p50Ms: latency('50'), p99Ms: latency('99') };
}

/** One thread, so that at least half of two cores is left to the server. */
export async function wrk(url: string, connections: number, seconds: number): Promise<RequestRate> {
  // distribution answers 404 to who does not name the type of the manifest.
  const accept = ['-H', `Accept: ${manifestType}`];
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '--latency', ...accept, url];
  const { stdout } = await run('wrk', args, { timeoutMs: (seconds + 30) * 1000 });
  return parseWrk(stdout);
}
