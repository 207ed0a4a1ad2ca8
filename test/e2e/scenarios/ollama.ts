/** `ollama pull` through weir: one large file in sixteen parts, many small ones at once, and a slow upstream. */
import { pullWithOllama, type PulledModel } from '../clients/ollama.ts';
import { pushGgufModel, pushTensorModel } from '../content/ollama-models.ts';
import type { Artifact } from '../content/seed.ts';
import { directPull } from '../direct-pull.ts';
import { Relay, type Relayed } from '../relay.ts';
import { CheckError } from '../report.ts';
import { blobTransfers, type LoggedRequest } from '../request-log.ts';
import { revive, withWeir, type Seeded, type Stage } from '../stage.ts';
import { needed } from '../tools.ts';
import type { Weir } from '../weir.ts';
import { playPhases } from './phases.ts';

export const partsRow = (versions: ReadonlyMap<string, string>): string =>
  `ollama ${versions.get('ollama')} @ dist3.test`;
export const tensorsRow = (versions: ReadonlyMap<string, string>): string =>
  `ollama ${versions.get('ollama')}, tensors @ dist3.test`;

const tag = 'latest';
const parts = 16;
/** After this Ollama takes a part for stalled (server/download.go). */
const patienceMs = 30_000;

/** The server reads GGUF files of 1.6 GB; it is asked to show only those. */
async function pull(stage: Stage, host: string, artifact: Artifact, isShown: boolean): Promise<PulledModel> {
  const { repository, direct } = artifact;
  const program = needed(stage.tools, 'ollama');
  const model = `${repository}:${tag}`;
  const pulled = await pullWithOllama({ program, workspace: stage.workspace, weir: host, model, isShown });
  for (const digest of direct.blobs.keys()) {
    if (!pulled.blobs.includes(digest)) throw new CheckError(`not in OLLAMA_MODELS: ${digest}`);
    if (!pulled.named.includes(digest)) throw new CheckError(`not in its manifest: ${digest}`);
  }
  if (isShown && !/architecture\s+llama/.test(pulled.shown)) throw new CheckError(`ollama show: ${pulled.shown}`);
  return pulled;
}

async function pushed(
  stage: Stage,
  { upstream }: Seeded,
  repository: string,
  push: typeof pushGgufModel,
): Promise<Artifact> {
  await push(stage, upstream, `${repository}:${tag}`);
  return { name: repository, kind: 'artifact', repository, tag, direct: await directPull(upstream, repository, tag) };
}

/** Ollama's names have no room for an upstream's name, so that weir's default upstream answers. */
async function playModel(
  stage: Stage,
  seeded: Seeded,
  row: string,
  artifact: Artifact,
  isGguf: boolean,
): Promise<void> {
  await playPhases(stage, {
    row,
    seeded,
    act: async ({ host }: Weir) => `${(await pull(stage, host, artifact, isGguf)).blobs.length} blobs`,
    cost: (phase, requests) => {
      if (phase === 'cold') broughtOnce(requests, artifact, isGguf ? mostCut : mostPreempted);
    },
  });
}

/** weir's first connection is cut where the others begin: what was on its way there then is sent in vain. */
const mostCut = 1.02;
/**
 * With 64 clients at once, blobs that nobody waited for yet give their connections to those that somebody does, sixteen at
 * most at a time; what was on its way is sent in vain.
 */
const mostPreempted = 1.25;

/** Every blob was sent, and all of them together hardly more than once. */
function broughtOnce(requests: readonly LoggedRequest[], { direct }: Artifact, most: number): void {
  let [sentBytes, neededBytes] = [0, 0];
  for (const [digest, size] of direct.blobs) {
    const { count, sizeBytes = 0 } = blobTransfers(requests, digest);
    if (count === 0 || sizeBytes < size) throw new CheckError(`${sizeBytes} bytes were sent of ${digest}`);
    sentBytes += sizeBytes;
    neededBytes += size;
  }
  if (sentBytes > neededBytes * most) throw new CheckError(`${sentBytes} bytes were sent of ${neededBytes}`);
}

export async function playOllama(stage: Stage, seeded: Seeded): Promise<void> {
  await revive(seeded);
  const model = await pushed(stage, seeded, 'library/e2e-gguf', pushGgufModel);
  await playModel(stage, seeded, partsRow(stage.versions), model, true);
  await playSlowly(stage, seeded, model);
}

export async function playOllamaTensors(stage: Stage, seeded: Seeded): Promise<void> {
  await revive(seeded);
  const model = await pushed(stage, seeded, 'library/e2e-tensors', pushTensorModel);
  await playModel(stage, seeded, tensorsRow(stage.versions), model, false);
}

/**
 * The upstream brings so little that the last part, read in order, would come after Ollama's patience. What Ollama does
 * is read off a relay between it and weir, what weir does off one between it and the upstream.
 */
async function playSlowly(stage: Stage, { upstream }: Seeded, artifact: Artifact): Promise<void> {
  const name = `ollama ${stage.versions.get('ollama')}, slow upstream`;
  const [model] = [...artifact.direct.blobs].toSorted(([, one], [, other]) => other - one);
  if (model === undefined) throw new Error('a model without blobs');
  const [digest, sizeBytes] = model;
  const bytesPerSecond = sizeBytes / 45;
  const behind = await Relay.start(upstream.host, bytesPerSecond);
  const isOfModel = ({ method, target }: Relayed): boolean => method === 'GET' && target.endsWith(digest);
  try {
    await withWeir(stage, name, { name: upstream.name, host: behind.host, ttl: '0s' }, async (weir) => {
      const before = await Relay.start(weir.host);
      const asked = (): readonly Relayed[] => before.passed.filter(isOfModel);
      try {
        await stage.report.check(
          `${name}: sixteen parts at once, each with its first byte in ${patienceMs / 1000} s, each byte brought once`,
          async () => {
            await pull(stage, before.host, artifact, true);
            const ranges = asked().filter(({ range }) => range !== undefined);
            checkParts(asked(), ranges, sizeBytes);
            const broughtBytes = behind.passed.filter(isOfModel).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
            const share = broughtBytes / sizeBytes;
            if (share > mostCut) throw new CheckError(`${share.toFixed(3)} times its bytes came from the upstream`);
            const slowest = Math.max(...ranges.map(({ firstByteMs = Number.POSITIVE_INFINITY }) => firstByteMs));
            const again = ranges.length - parts;
            return (
              `slowest first byte ${(slowest / 1000).toFixed(1)} s, ${share.toFixed(3)} times its bytes from the ` +
              `upstream, ${again} part${again === 1 ? '' : 's'} asked for again`
            );
          },
          async () => [describe(before.passed), describe(behind.passed), await weir.loggedSince(0)].join('\n'),
        );
      } finally {
        await before.stop();
      }
    });
  } finally {
    await behind.stop();
  }
}

/**
 * A part that is there but for its last byte, which waits for the proof of the whole, is one that Ollama takes for stalled
 * when that lasts long; it asks for it again, as often as that happens.
 */
function checkParts(asked: readonly Relayed[], ranges: readonly Relayed[], sizeBytes: number): void {
  const whole = asked.find(({ range }) => range === undefined);
  if (whole?.status !== 200 || whole.location === undefined) {
    throw new CheckError(`the answer that says where the bytes are: ${whole?.status}, Location ${whole?.location}`);
  }
  const wrong = ranges.filter(
    ({ status, hasAuthorization, firstByteMs }) =>
      status !== 206 || hasAuthorization || firstByteMs === undefined || firstByteMs > patienceMs,
  );
  if (wrong.length > 0) throw new CheckError(`not as they should be:\n${describe(wrong)}`);
  const lengths = new Map(ranges.map(({ range = '' }) => [range, lengthOf(range)]));
  const coveredBytes = [...lengths.values()].reduce((sum, length) => sum + length, 0);
  if (lengths.size !== parts || coveredBytes !== sizeBytes) {
    throw new CheckError(`${lengths.size} parts with ${coveredBytes} bytes instead of ${parts} with ${sizeBytes}`);
  }
  for (const [range, length] of lengths) {
    const bodies = ranges.filter((one) => one.range === range).map(({ bodyBytes }) => bodyBytes);
    if (bodies.pop() !== length || bodies.some((bytes) => bytes !== length - 1)) {
      throw new CheckError(`${range}: bodies of ${bodies.join(' and ')} bytes before the last one`);
    }
  }
}

function lengthOf(range: string): number {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  return Number(last) - Number(first) + 1;
}

function describe(passed: readonly Relayed[]): string {
  const line = ({ method, target, range, status, firstByteMs, bodyBytes }: Relayed): string =>
    `${method} ${target.slice(-12)} ${range ?? ''} ${status}: ${bodyBytes} bytes, first after ${firstByteMs?.toFixed(0)} ms`;
  return passed.map(line).join('\n');
}
