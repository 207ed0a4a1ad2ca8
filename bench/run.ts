/**
 * `npm run bench`: weir and its peers against one upstream on this machine, interleaved, correctness first.
 * What it does and what it writes: bench/options.ts; what is measured: bench/scenarios.
 */
import { join } from 'node:path';
import { run, stopEverything } from '../test/e2e/process.ts';
import { Workspace } from '../test/e2e/workspace.ts';
import { Bench, scaleOf, type Scenario } from './bench.ts';
import { machineFacts } from './machine.ts';
import { type Options, parseOptions, usage, UsageError } from './options.ts';
import { findPeers, peerNames, type Peers } from './peers/find.ts';
import { storeResults, writeReport } from './report/files.ts';
import { goalTable } from './report/markdown.ts';
import { scenarioTable } from './report/tables.ts';
import { Recorder, type Results, type ScenarioResult } from './results.ts';
import { scenarios } from './scenarios/all.ts';
import { Client } from './support/client.ts';
import { Content } from './support/content.ts';
import { Upstream } from './support/upstream.ts';

const startedAt = Date.now();

function progress(line: string): void {
  console.error(`[${((Date.now() - startedAt) / 1000).toFixed(0).padStart(5)} s] ${line}`);
}

function choose({ only }: Options): readonly Scenario[] {
  const chosen = scenarios.filter(({ name }) => only.length === 0 || only.some((word) => name.includes(word)));
  if (chosen.length === 0) throw new UsageError(`no scenario is named ${only.join(' or ')}; --list names them`);
  return chosen;
}

/** Throws with what to install. */
async function needPrograms(): Promise<void> {
  const missing: string[] = [];
  for (const [name, ...args] of [
    ['nginx', '-v'],
    ['wrk', '-v'],
    ['openssl', 'version'],
  ] as const) {
    await run(name, args).catch((error: unknown) => {
      // wrk exits with 1 after its version.
      if (String(error).includes('ENOENT')) missing.push(name);
    });
  }
  if (missing.length > 0) {
    throw new Error(
      `missing: ${missing.join(', ')}; apt-get install --no-install-recommends nginx wrk openssl skopeo docker-registry`,
    );
  }
}

async function play(scenario: Scenario, parts: ConstructorParameters<typeof Bench>[0]): Promise<ScenarioResult> {
  const recorder = new Recorder();
  const began = Date.now();
  progress(`== ${scenario.name}: ${scenario.title}`);
  await scenario.run(new Bench(parts, recorder));
  const { name, title, about } = scenario;
  const seconds = Math.round((Date.now() - began) / 1000);
  const at = new Date().toISOString();
  return { name, title, about, rows: recorder.rows(), at, seconds, isQuick: parts.scale.isQuick };
}

function describe({ present, missing }: Peers, played: readonly ScenarioResult[]): Results {
  const peers = present.map(({ name, title, version, kind }) => [name, { title, version, kind }] as const);
  return { machine: machineFacts(), peers: Object.fromEntries(peers), missing, scenarios: played };
}

async function bench(options: Options, workspace: Workspace, signal: AbortSignal): Promise<void> {
  const chosen = choose(options);
  await needPrograms();
  const peers = await findPeers(options.peers, options.also, progress);
  const client = await Client.prepare(progress);
  const scale = scaleOf(options.isQuick, options.runs);
  const content = new Content(join(workspace.root, 'content'));
  progress('writing what the upstream holds …');
  for (const scenario of chosen) scenario.prepare(content, scale);
  const upstream = await Upstream.start(join(workspace.root, 'upstream'), content);
  const played: ScenarioResult[] = [];
  for (const scenario of chosen) {
    const result = await play(scenario, { workspace, upstream, client, peers: peers.present, scale, progress, signal });
    played.push(result);
    console.log(`\n${scenarioTable(result, describe(peers, [result]))}\n`);
    // A run of an hour that ends early keeps what it has.
    if (options.isWritten) storeResults(describe(peers, [result]));
  }
  console.log(goalTable(describe(peers, played), chosen.length < scenarios.length));
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), peerNames);
  if (options.mode === 'help') return console.log(usage);
  if (options.mode === 'report') return writeReport();
  if (options.mode === 'list') {
    for (const { name, title } of scenarios) console.log(`${name.padEnd(16)} ${title}`);
    return console.log(`\npeers: ${peerNames.join(', ')}`);
  }
  const workspace = new Workspace('weir-bench-');
  const cleanUp = async (): Promise<void> => {
    await stopEverything(2000);
    workspace.killLeftovers();
    workspace.remove(workspace.root);
  };
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // The run is over whatever its scenarios still do; only cleaning up matters now.
    process.once(signal, () => {
      interrupted.abort(new Error(`stopped by ${signal}`));
      void cleanUp().finally(() => process.exit(1));
    });
  }
  try {
    await bench(options, workspace, interrupted.signal);
  } finally {
    await cleanUp();
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${usage}` : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
