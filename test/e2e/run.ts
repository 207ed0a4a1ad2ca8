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
import { playImage } from './scenarios/image.ts';
import { playCopy } from './scenarios/copy.ts';
import { playLayout } from './scenarios/layout.ts';
import { playMatrix } from './scenarios/matrix.ts';
import type { Seeded, Stage } from './stage.ts';
import { describeTools, prepareTools, type Tools } from './tools.ts';
import { startUpstreams, upstreamNames } from './upstreams.ts';
import { Workspace } from './workspace.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
    entry: { type: 'string', default: 'src/main.ts' },
  },
});

const clients: readonly Client[] = [crane, skopeo, podman, helm, orasGo, referrers, ...containerds, dockerd];

/** The upstream that also holds the large file. */
const largeUpstream = 'dist3.test';

interface Scenario {
  readonly name: string;
  readonly needsLarge: boolean;
  readonly play: (stage: Stage) => Promise<void>;
}

function seededAs({ seeded }: Stage, name: string): Seeded {
  const found = seeded.find(({ upstream }) => upstream.name === name);
  if (found === undefined) throw new Error(`no upstream ${name}`);
  return found;
}

function scenarios(tools: Tools): readonly Scenario[] {
  const all = tools.oras === undefined ? clients : [...clients, orasCli(tools.oras)];
  const matrix = all.flatMap((client) =>
    upstreamNames(tools).map((name) => ({
      name: `${client.name} @ ${name}`,
      needsLarge: name === largeUpstream && client.kinds.includes('large'),
      play: (stage: Stage) => playMatrix(stage, client, seededAs(stage, name)),
    })),
  );
  const copy = (stage: Stage): Promise<void> =>
    playCopy(stage, seededAs(stage, 'referrers.test'), seededAs(stage, 'dist3.test'));
  const layout = (stage: Stage): Promise<void> => playLayout(stage, seededAs(stage, 'dist3.test'));
  const image = (stage: Stage): Promise<void> => playImage(stage, seededAs(stage, 'dist2.test'));
  return [
    ...matrix,
    { name: 'copy', needsLarge: false, play: copy },
    { name: 'layout', needsLarge: false, play: layout },
    { name: 'image', needsLarge: false, play: image },
  ];
}

async function seed(
  tools: Tools,
  workspace: Workspace,
  report: Report,
  needsLarge: boolean,
): Promise<readonly Seeded[]> {
  const seeded: Seeded[] = [];
  for (const upstream of await startUpstreams(tools, workspace)) {
    const identity = `${upstream.name} ${workspace.root}`;
    const hasLarge = needsLarge && upstream.name === largeUpstream;
    const content = await Content.make(tools, workspace, identity, hasLarge);
    await content.push(upstream);
    seeded.push({ upstream, content, artifacts: await content.describe(upstream) });
    report.say(`${upstream.title} is ${upstream.name} on ${upstream.host}`);
  }
  return seeded;
}

async function play(workspace: Workspace, report: Report): Promise<void> {
  const tools = await prepareTools((line) => report.say(line));
  const chosen = scenarios(tools).filter(
    ({ name }) => options.only.length === 0 || options.only.some((word) => name.includes(word)),
  );
  if (chosen.length === 0) throw new Error(`no scenario is named ${options.only.join(' or ')}; --list names them`);
  if (options.list) {
    for (const line of [...chosen.map(({ name }) => name), '', ...describeTools()]) console.log(line);
    return;
  }
  const needsLarge = chosen.some((scenario) => scenario.needsLarge);
  const seeded = await seed(tools, workspace, report, needsLarge);
  const stage: Stage = { tools, workspace, report, seeded, entry: options.entry };
  for (const scenario of chosen) await scenario.play(stage);
  for (const name of ['oras', 'zot'] as const) {
    if (tools[name] === undefined) report.skip(name, 'not on the PATH');
  }
}

/** Ends what was started and removes what was written; answers what should not have been there any more. */
async function cleanUp(workspace: Workspace): Promise<readonly string[]> {
  await stopEverything();
  const left = workspace.killLeftovers();
  workspace.remove(workspace.root);
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
