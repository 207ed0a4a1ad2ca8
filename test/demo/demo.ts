/**
 * weir in front of an upstream of its own, all on loopback: no internet is needed.
 *
 *   npm run demo              pulls, shows what happened, and keeps running until Ctrl-C
 *   npm run demo -- --once    ends after the table
 */
import { parseArgs } from 'node:util';
import { buildImage } from '../support/image-builder.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDirectory } from '../support/temp.ts';
import { shared } from '../support/upstream/behaviour.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { type Pull, pull } from './client.ts';
import { Daemon } from './daemon.ts';
import { megabytes, seconds, table } from './table.ts';

const repository = 'demo/app';
const layers = [8, 6, 5, 3, 1.5, 0.5].map((mb) => mb * 1e6);
const images = ['1.0', '2.0'].map((tag) => [tag, buildImage({ seed: `demo ${tag}`, layers })] as const);
const bytesPerSecond = 20e6;
const clientsAtOnce = 5;

interface Row {
  readonly title: string;
  readonly tag: string;
  readonly clients: number;
  readonly through: 'upstream' | 'weir';
}

const rows: readonly Row[] = [
  { title: 'straight from the upstream', tag: '1.0', clients: 1, through: 'upstream' },
  { title: 'through weir, cold', tag: '1.0', clients: 1, through: 'weir' },
  { title: 'through weir, warm', tag: '1.0', clients: 1, through: 'weir' },
  {
    title: `through weir, cold, ${clientsAtOnce} clients at once`,
    tag: '2.0',
    clients: clientsAtOnce,
    through: 'weir',
  },
  { title: 'through weir, warm, the upstream is down', tag: '2.0', clients: 1, through: 'weir' },
];

async function demo(isOnce: boolean, signal: AbortSignal): Promise<void> {
  await using directory = await tempDirectory('demo');
  await using upstream = await ScriptedUpstream.start();
  upstream.always = shared(new RateLimit(bytesPerSecond));
  for (const [tag, image] of images) upstream.content.add(repository, image, tag);
  await using weir = await Daemon.start({ directory: directory.path, upstream: upstream.url, signal });

  const size = megabytes(layers.reduce((sum, bytes) => sum + bytes, 0));
  console.log(`\nupstream  ${upstream.url}, ${bytesPerSecond / 1e6} MB/s`);
  console.log(`          ${repository}:1.0 and :2.0, ${layers.length} layers and ${size} each`);
  console.log(`weir      ${weir.url}, metrics at ${weir.adminUrl}/metrics`);
  console.log(`          an empty cache in ${weir.root}\n`);

  const lines = [['', 'time', 'hit', 'miss', 'shared', 'from upstream', 'to clients', 'bytes saved']];
  for (const row of rows) lines.push(await play(row, upstream, weir, signal));
  console.log(table(lines));
  console.log('\nhit: from the cache. miss: fetched. shared: followed the transfer that another client had started.');
  console.log('Every manifest and blob was hashed by the client and is what its digest says.\n');
  if (isOnce) return;

  await upstream.listen();
  console.log(byHand(weir));
  await Promise.race([weir.ended, aborted(signal)]);
  if (!signal.aborted) throw new Error(weir.describeEnd());
}

async function play(row: Row, upstream: ScriptedUpstream, weir: Daemon, signal: AbortSignal): Promise<string[]> {
  const isLast = row === rows.at(-1);
  if (isLast) await upstream.stop();
  const sentBefore = upstream.bytesSent();
  const base = row.through === 'weir' ? weir.url : upstream.url;
  const pulls = await Promise.all(
    Array.from({ length: row.clients }, () => pull(base, repository, row.tag, signal)),
  ).catch((error: unknown) => {
    throw new Error(`${row.title}: ${weir.hasEnded ? weir.describeEnd() : reason(error)}`, { cause: error });
  });
  const fetched = upstream.bytesSent() - sentBefore;
  const received = pulls.reduce((sum, { bytes }) => sum + bytes, 0);
  const slowest = Math.max(...pulls.map(({ milliseconds }) => milliseconds));
  const counts = row.through === 'weir' ? count(pulls) : ['', '', ''];
  const saved = row.through === 'weir' ? megabytes(received - fetched) : '';
  return [row.title, seconds(slowest), ...counts, megabytes(fetched), megabytes(received), saved];
}

/** Answers that were a hit, a miss, and a miss that joined another one's transfer; by their Cache-Status header. */
function count(pulls: readonly Pull[]): string[] {
  const outcomes = pulls.flatMap((one) => one.outcomes);
  const isShared = (outcome: string): boolean => outcome.includes('; collapsed');
  const hits = outcomes.filter((outcome) => outcome.startsWith('weir; hit'));
  const misses = outcomes.filter((outcome) => outcome.startsWith('weir; fwd=') && !isShared(outcome));
  return [hits, misses, outcomes.filter(isShared)].map(({ length }) => String(length));
}

function byHand(weir: Daemon): string {
  const host = new URL(weir.url).host;
  const layer = images[0]?.[1].blobs[1]?.digest ?? '';
  return `To try by hand; look for Cache-Status:

  curl -i ${weir.url}/v2/${repository}/manifests/1.0
  curl -s ${weir.url}/v2/${repository}/tags/list
  curl -o /dev/null -D - ${weir.url}/v2/${repository}/blobs/${layer}
  curl -s ${weir.adminUrl}/metrics | grep ^weir_
  skopeo inspect --raw --tls-verify=false docker://${host}/${repository}:2.0

Both are running. Ctrl-C ends them and removes the cache.`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // fetch says "fetch failed" and hides why in its cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stopping.abort());
try {
  const { values } = parseArgs({ options: { once: { type: 'boolean', default: false } } });
  await demo(values.once, stopping.signal);
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(`demo: ${reason(error)}`);
    process.exitCode = 1;
  }
}
// Everything is closed by now. Left to itself, Node 26.10 sometimes spins for ever in the clean-up of its sockets.
process.exit();
