/**
 * The end-to-end suite: real registries behind weir, real clients in front of it, everything on loopback.
 *
 *   npm run e2e                      everything
 *   npm run e2e -- --only crane      scenarios whose name contains the word; may be repeated
 *   npm run e2e -- --list            names of scenarios and programs
 *
 * Runs as root on Debian 12. Exit code 1 when any check failed or a program is missing.
 */
import { parseArgs } from 'node:util';
import type { Client } from './clients/client.ts';
import { containerds } from './clients/containerd.ts';
import { dockerd } from './clients/docker.ts';
import { podman } from './clients/podman.ts';
import { referrers } from './clients/referrers.ts';
import { crane, helm, orasCli, orasGo, skopeo } from './clients/simple.ts';
import { Content } from './content/seed.ts';
import { stopEverything } from './process.ts';
import { Report } from './report.ts';
import { playCopy } from './scenarios/copy.ts';
import { playLayout } from './scenarios/layout.ts';
import { artifactsFor, matrixName, playMatrix } from './scenarios/matrix.ts';
import type { Seeded, Stage } from './stage.ts';
import { describeTools, prepareTools, type Tools } from './tools.ts';
import { startUpstreams } from './upstreams.ts';
import { Workspace } from './workspace.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
    entry: { type: 'string', default: 'src/main.ts' },
  },
});

const clients: readonly Client[] = [crane, skopeo, podman, helm, orasGo, referrers, ...containerds, dockerd];

interface Scenario {
  readonly name: string;
  readonly play: () => Promise<void>;
}

function seededAs(stage: Stage, name: string): Seeded {
  const found = stage.seeded.find(({ upstream }) => upstream.name === name);
  if (found === undefined) throw new Error(`no upstream ${name}`);
  return found;
}

function scenarios(stage: Stage): readonly Scenario[] {
  const { oras } = stage.tools;
  const all = oras === undefined ? clients : [...clients, orasCli(oras)];
  const matrix = all.flatMap((client) =>
    stage.seeded
      .filter((seeded) => artifactsFor(client, seeded).length > 0)
      .map((seeded) => ({
        name: matrixName(client, seeded.upstream),
        play: () => playMatrix(stage, client, seeded),
      })),
  );
  const [dist3, referring] = [seededAs(stage, 'dist3.test'), seededAs(stage, 'referrers.test')];
  return [
    ...matrix,
    { name: 'copy', play: () => playCopy(stage, referring, dist3) },
    { name: 'layout', play: () => playLayout(stage, dist3) },
  ];
}

async function seed(tools: Tools, workspace: Workspace, report: Report): Promise<readonly Seeded[]> {
  const seeded: Seeded[] = [];
  for (const upstream of await startUpstreams(tools, workspace)) {
    const identity = `${upstream.name} ${workspace.root}`;
    const content = await Content.make(tools, workspace, identity, upstream.name === 'dist3.test');
    await content.push(upstream);
    seeded.push({ upstream, content, artifacts: await content.describe(upstream) });
    report.say(`${upstream.title} is ${upstream.name} on ${upstream.host}`);
  }
  return seeded;
}

async function play(workspace: Workspace, report: Report): Promise<void> {
  const tools = await prepareTools((line) => report.say(line));
  const stage: Stage = { tools, workspace, report, seeded: await seed(tools, workspace, report), entry: options.entry };
  const chosen = scenarios(stage).filter(
    ({ name }) => options.only.length === 0 || options.only.some((word) => name.includes(word)),
  );
  if (options.list) {
    for (const line of [...chosen.map(({ name }) => name), '', ...describeTools()]) console.log(line);
    return;
  }
  if (chosen.length === 0) throw new Error(`no scenario is named ${options.only.join(' or ')}; --list names them`);
  for (const scenario of chosen) await scenario.play();
  for (const name of ['oras', 'zot'] as const) {
    if (tools[name] === undefined) report.skip(name, 'not on the PATH');
  }
}

/** Ends what was started and removes what was written; answers what should not have been there any more. */
async function cleanUp(workspace: Workspace): Promise<readonly string[]> {
  await stopEverything();
  const left = workspace.killLeftovers();
  await workspace.remove(workspace.root);
  return left;
}

const workspace = new Workspace();
const report = new Report();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    // The run is over whatever its scenarios still do; only cleaning up matters now.
    void cleanUp(workspace).finally(() => process.exit(1));
  });
}

let failure: Error | undefined;
try {
  await play(workspace, report);
} catch (error) {
  failure = error instanceof Error ? error : new Error(String(error));
}
const left = await cleanUp(workspace);
if (!options.list || failure !== undefined) {
  await report.check('run: the suite ends by itself and leaves no process behind', async () => {
    if (failure !== undefined) throw failure;
    if (left.length > 0) throw new Error(left.join('\n'));
  });
  process.exitCode = report.finish();
}
