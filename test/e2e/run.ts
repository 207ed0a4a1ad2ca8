/**
 * The end-to-end suite: real registries behind weir, real clients in front of it, everything on loopback.
 *
 *   npm run e2e                      everything
 *   npm run e2e -- --only crane      scenarios whose name contains the word; may be repeated
 *   npm run e2e -- --list            names of scenarios and programs
 *   npm run e2e -- --build-minutes N at most so long for installing; bounds the second tier (see programs.ts)
 *
 * Runs as root on Debian 12. Exit code 1 when any check failed or a program is missing.
 */
import { parseArgs } from 'node:util';
import { Content } from './content/seed.ts';
import { stopEverything } from './process.ts';
import { Report } from './report.ts';
import { largeUpstream, scenarios } from './scenarios.ts';
import type { Seeded, Stage } from './stage.ts';
import { describeTools, prepareTools, type Tools } from './tools.ts';
import { startUpstreams } from './upstreams.ts';
import { Workspace } from './workspace.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
    entry: { type: 'string', default: 'src/main.ts' },
    'build-minutes': { type: 'string', default: 'Infinity' },
  },
});

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
  const chosen = scenarios.filter(
    ({ name }) => options.only.length === 0 || options.only.some((word) => name.includes(word)),
  );
  if (chosen.length === 0) throw new Error(`no scenario is named ${options.only.join(' or ')}; --list names them`);
  if (options.list) {
    for (const line of [...chosen.map(({ name }) => name), '', ...describeTools()]) console.log(line);
    return;
  }
  const wanted = new Set(chosen.flatMap(({ programs = [] }) => programs));
  const budgetMs = Number(options['build-minutes']) * 60_000;
  if (!(budgetMs >= 0)) throw new Error(`--build-minutes ${options['build-minutes']} is not a number of minutes`);
  const { tools, versions, absent } = await prepareTools(wanted, budgetMs, (line) => report.say(line));
  const needsLarge = chosen.some((scenario) => scenario.needsLarge === true);
  const seeded = await seed(tools, workspace, report, needsLarge);
  const stage: Stage = { tools, versions, workspace, report, seeded, entry: options.entry };
  for (const { name, programs = [], rows = () => [name], play: playIt } of chosen) {
    const lacking = programs.find((program) => absent.has(program));
    if (lacking === undefined) await playIt(stage);
    else for (const row of rows(versions)) report.empty(row, `${lacking}: ${absent.get(lacking)}`);
  }
  for (const [name, reason] of absent) report.skip(name, reason);
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
