/** What a scenario works with: peers, upstream, client, sizes, and the one way to measure: in turn, round by round. */
import { rmSync } from 'node:fs';
import type { Workspace } from '../test/e2e/workspace.ts';
import type { Peer, StartOptions, Subject } from './peers/peer.ts';
import { type Recorder, type Sample, WrongAnswer } from './results.ts';
import type { Client } from './support/client.ts';
import type { Content } from './support/content.ts';
import { cpuSeconds, cpuSettles, peakResidentBytes, resetPeak } from './support/proc.ts';
import type { Upstream } from './support/upstream.ts';

/** Sizes and times; `--quick` takes smaller ones. */
export interface Scale {
  readonly isQuick: boolean;
  readonly runs: number;
  /** Of peers and rows that no goal compares. */
  readonly seldomRuns: number;
  /** Seconds of each measurement that could go on for ever. */
  readonly seconds: number;
  readonly largeBytes: number;
  readonly limitedBytes: number;
  readonly herdBytes: number;
  readonly storedBlobs: readonly number[];
}

const MB = 1_000_000;

export function scaleOf(isQuick: boolean, runs: number | undefined): Scale {
  if (isQuick) {
    const sizes = { largeBytes: 1024 ** 3, limitedBytes: 100 * MB, herdBytes: 50 * MB, storedBlobs: [1000, 100_000] };
    return { isQuick, ...runsOf(runs ?? 3), seconds: 2, ...sizes };
  }
  const storedBlobs = [1000, 10_000, 100_000, 1_000_000];
  const sizes = { largeBytes: 1024 ** 3, limitedBytes: 300 * MB, herdBytes: 200 * MB, storedBlobs };
  return { isQuick, ...runsOf(runs ?? 7), seconds: 3, ...sizes };
}

function runsOf(runs: number): Pick<Scale, 'runs' | 'seldomRuns'> {
  return { runs, seldomRuns: Math.min(runs, 2) };
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** Writes what the upstream must hold; called before it starts. */
  prepare(content: Content, scale: Scale): void;
  run(bench: Bench): Promise<void>;
}

export interface Row {
  readonly id: string;
  readonly title: string;
}

export interface BenchParts {
  readonly workspace: Workspace;
  readonly upstream: Upstream;
  readonly client: Client;
  readonly peers: readonly Peer[];
  readonly scale: Scale;
  readonly progress: (line: string) => void;
  /** Aborted when the user has had enough. */
  readonly signal: AbortSignal;
}

/** What the server used while something was done, work that it put off included. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly peakMb: number;
}

export class Bench {
  readonly workspace: Workspace;
  readonly upstream: Upstream;
  readonly client: Client;
  readonly peers: readonly Peer[];
  readonly scale: Scale;
  readonly progress: (line: string) => void;
  readonly recorder: Recorder;
  readonly #signal: AbortSignal;

  constructor(parts: BenchParts, recorder: Recorder) {
    this.workspace = parts.workspace;
    this.upstream = parts.upstream;
    this.client = parts.client;
    this.peers = parts.peers;
    this.scale = parts.scale;
    this.progress = parts.progress;
    this.#signal = parts.signal;
    this.recorder = recorder;
  }

  /** All peers but the row without a cache. */
  get caches(): readonly Peer[] {
    return this.peers.filter(({ kind }) => kind !== 'direct');
  }

  get content(): Content {
    return this.upstream.content;
  }

  /** Starts a peer on an empty directory. */
  async start(peer: Peer, options: Partial<StartOptions> = {}): Promise<Subject> {
    const directory = options.directory ?? this.workspace.directory(peer.name);
    return peer.start({ route: this.upstream.route('plain'), ...options, directory });
  }

  /** Stops it and removes what it wrote. */
  async finish(subject: Subject): Promise<void> {
    await subject.stop();
    await this.upstream.idles();
    rmSync(subject.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  /**
   * Starts several peers at once and makes them ready. One that cannot has its reason in each row and is left out; all
   * are stopped and removed when the answer is disposed of.
   */
  async startAll(
    peers: readonly Peer[],
    options: Partial<StartOptions>,
    ready: (subject: Subject) => Promise<void>,
    rows: readonly Row[],
  ): Promise<AsyncDisposable & { readonly all: readonly Subject[] }> {
    const started: Subject[] = [];
    const all: Subject[] = [];
    for (const peer of peers) {
      try {
        const subject = await this.start(peer, options);
        started.push(subject);
        await ready(subject);
        if (subject.pid !== undefined) await cpuSettles(subject.pid);
        all.push(subject);
      } catch (error) {
        this.fail(rows, peer, error);
      }
    }
    return { all, [Symbol.asyncDispose]: async () => void (await Promise.all(started.map((one) => this.finish(one)))) };
  }

  /** One sample of one peer; a failure is written into the row and ends this peer's part in it. */
  async sample(row: Row, peer: Peer, measure: () => Promise<Sample>): Promise<void> {
    if (this.recorder.problem(row.id, peer.name) !== undefined) return;
    try {
      const sample = await measure();
      this.recorder.add(row.id, row.title, peer.name, sample);
      const shown = Object.entries(sample).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`);
      this.progress(`${row.title} · ${peer.title}: ${shown.join(', ')}`);
    } catch (error) {
      this.fail([row], peer, error);
    }
  }

  /** Like `sample`, for what several rows need before any of them can be measured. */
  async guard(rows: readonly Row[], peer: Peer, action: () => Promise<void>): Promise<void> {
    if (rows.every(({ id }) => this.recorder.problem(id, peer.name) !== undefined)) return;
    try {
      await action();
    } catch (error) {
      this.fail(rows, peer, error);
    }
  }

  /** From here on this peer has no number in these rows. */
  fail(rows: readonly Row[], peer: Peer, error: unknown): void {
    // What fails because everything is being stopped says nothing about the peer.
    this.#signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    const first = message
      .split('\n', 3)
      .join('; ')
      .replaceAll(this.workspace.root, '')
      .replaceAll(/127\.0\.0\.1:\d+/g, 'its port')
      .slice(0, 300);
    const problem = `${error instanceof WrongAnswer ? 'wrong' : 'failed'}: ${first}`;
    for (const { id, title } of rows) {
      this.recorder.fail(id, title, peer.name, problem);
      this.progress(`${title} · ${peer.title}: ${problem}`);
    }
  }

  /**
   * Each round asks every one in turn, so that whatever else the machine does meets them alike. `compared` are the peers
   * beside weir that a goal needs, all when absent; the others are asked in the first rounds only.
   */
  async rounds<T extends Peer | Subject>(
    all: readonly T[],
    measure: (one: T) => Promise<void>,
    compared?: readonly string[],
  ): Promise<void> {
    const isCompared = (one: T): boolean => {
      const { name, kind } = 'peer' in one ? one.peer : one;
      return compared === undefined || kind === 'weir' || compared.includes(name);
    };
    for (let round = 0; round < this.scale.runs; round++) {
      for (const one of all) if (round < this.scale.seldomRuns || isCompared(one)) await measure(one);
    }
  }

  /** What the server uses for `action`; nothing of `direct`. */
  async metered<T>(subject: Subject, action: () => Promise<T>): Promise<{ result: T; usage: Usage | undefined }> {
    const { pid } = subject;
    if (pid === undefined) return { result: await action(), usage: undefined };
    resetPeak(pid);
    const before = cpuSeconds(pid);
    const result = await action();
    await this.upstream.idles();
    await cpuSettles(pid);
    return { result, usage: { cpuSeconds: cpuSeconds(pid) - before, peakMb: peakResidentBytes(pid) / MB } };
  }
}

/** The figures of a usage for so many bytes. */
export function usageSample(usage: Usage | undefined, bytes: number): Sample {
  if (usage === undefined) return {};
  return { cpuPerGb: usage.cpuSeconds / (bytes / 1e9), peakMb: usage.peakMb };
}
