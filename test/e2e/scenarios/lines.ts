/** containerd's ways with a large layer: several open-ended ranges at once, and going on where a line has broken. */
import { Cri, criPrograms } from '../clients/cri.ts';
import { pushData, type DataImage } from '../content/data-images.ts';
import { CheckError } from '../report.ts';
import { blobTransfers, type LoggedRequest } from '../request-log.ts';
import type { Scenario } from '../scenarios.ts';
import type { Seeded, Stage } from '../stage.ts';
import { Tap } from '../tap.ts';
import { playPhases } from './phases.ts';

const mebibyte = 1024 * 1024;
const sizeBytes = 32 * mebibyte;
const cutAfterBytes = 12 * mebibyte;

type Versions = ReadonlyMap<string, string>;

/** Pulls into a containerd of its own and compares what it stored with a direct pull. */
async function pull(
  { tools, workspace }: Stage,
  weir: string,
  name: string,
  { artifact }: DataImage,
  fetchBufferBytes = 0,
): Promise<void> {
  const runtime = await Cri.open({ tools, workspace, weir, fetchBufferBytes });
  try {
    const { digests, blobs = [] } = await runtime.pull(name);
    const { direct } = artifact;
    const absent = [direct.root, ...direct.amd64].filter((digest) => !blobs.includes(digest));
    if (absent.length > 0) throw new CheckError(`containerd has no ${absent.join(' ')}`);
    if (!digests.includes(direct.root)) throw new CheckError(`${digests.join()} instead of ${direct.root}`);
  } finally {
    await runtime.close();
  }
}

/** The upstream has sent each blob in full and not a byte more. */
function eachByteOnce(requests: readonly LoggedRequest[], { artifact }: DataImage): void {
  for (const [digest, size] of artifact.direct.blobs) {
    const sent = blobTransfers(requests, digest).sizeBytes;
    if (sent !== size) throw new CheckError(`${sent} bytes were sent of blob ${digest}, which has ${size}`);
  }
}

const rangesRow = (versions: Versions, name: string): string =>
  `layers in parallel ranges, containerd by CRI ${versions.get('containerd2')} @ ${name}`;

async function playRanges(stage: Stage, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  const data = await pushData(stage, upstream, 'lines/ranges', sizeBytes);
  await playPhases(stage, {
    row: rangesRow(stage.versions, upstream.name),
    seeded,
    act: async (weir) => {
      const tap = await Tap.start(weir.port);
      try {
        await pull(stage, tap.host, `${upstream.name}/lines/ranges:1`, data, 4 * mebibyte);
        const ranges = tap.sent.match(/^range: bytes=\d+-\r?$/gim) ?? [];
        if (new Set(ranges).size < sizeBytes / (4 * mebibyte)) {
          throw new CheckError(`containerd asked for ${ranges.length} open-ended ranges only`);
        }
        return `${ranges.length} open-ended ranges`;
      } finally {
        await tap.close();
      }
    },
    cost: (phase, requests) => {
      if (phase === 'cold') eachByteOnce(requests, data);
    },
  });
}

const brokenRow = (versions: Versions, name: string): string =>
  `line to weir cut, containerd by CRI ${versions.get('containerd2')} @ ${name}`;

/** Each pull loses its line to weir once; containerd asks for the rest of the layer. */
async function playBroken(stage: Stage, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  const data = await pushData(stage, upstream, 'lines/broken', sizeBytes);
  await playPhases(stage, {
    row: brokenRow(stage.versions, upstream.name),
    seeded,
    act: async (weir) => {
      const tap = await Tap.start(weir.port);
      try {
        tap.cutAfter(cutAfterBytes);
        await pull(stage, tap.host, `${upstream.name}/lines/broken:1`, data);
        const [first] = tap.sent.match(/^range: bytes=[1-9]\d*-\r?$/im) ?? [];
        if (tap.cuts !== 1 || first === undefined) throw new CheckError(`${tap.cuts} cuts and no request for the rest`);
        return `cut once, then ${first.trim()}`;
      } finally {
        await tap.close();
      }
    },
    cost: (phase, requests) => {
      if (phase === 'cold') eachByteOnce(requests, data);
    },
  });
}

const resumedRow = (versions: Versions, name: string): string =>
  `line to the upstream cut, containerd by CRI ${versions.get('containerd2')} @ ${name}`;

/** weir loses its line to the upstream in the middle of a layer, and the client does not notice. */
async function playResumed(stage: Stage, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  const data = await pushData(stage, upstream, 'lines/resumed', sizeBytes);
  const [front, behind] = [await Tap.start(upstream.port), { bytes: 0 }];
  try {
    await playPhases(stage, {
      row: resumedRow(stage.versions, upstream.name),
      seeded,
      dockerHub: { name: upstream.name, host: front.host, ttl: upstream.ttl },
      act: async (weir, phase) => {
        const tap = await Tap.start(weir.port);
        try {
          behind.bytes = front.answeredBytes;
          if (phase === 'cold') front.cutAfter(cutAfterBytes);
          await pull(stage, tap.host, 'docker.io/lines/resumed:1', data);
          if (/^range:/im.test(tap.sent)) throw new CheckError('containerd noticed');
          if (phase !== 'cold') return 'not cut';
          const factor = (front.answeredBytes - behind.bytes) / sizeBytes;
          if (front.cuts !== 1) throw new CheckError(`the line was cut ${front.cuts} times`);
          // What was under way when the line broke is lost with it.
          if (factor > 1.1) throw new CheckError(`weir had the layer ${factor.toFixed(2)} times`);
          return `cut once, the upstream's bytes are ${factor.toFixed(3)} of the layer's`;
        } finally {
          await tap.close();
        }
      },
    });
  } finally {
    await front.close();
  }
}

/** `find` looks up an upstream by name. */
export function lineScenarios(find: (stage: Stage, name: string) => Seeded): readonly Scenario[] {
  const name = 'dist3.test';
  return [
    {
      name: 'line: parallel ranges',
      rows: (versions) => [rangesRow(versions, name)],
      programs: criPrograms,
      play: (stage) => playRanges(stage, find(stage, name)),
    },
    {
      name: 'line: cut before weir',
      rows: (versions) => [brokenRow(versions, name)],
      programs: criPrograms,
      play: (stage) => playBroken(stage, find(stage, name)),
    },
    {
      name: 'line: cut behind weir',
      rows: (versions) => [resumedRow(versions, name)],
      programs: criPrograms,
      play: (stage) => playResumed(stage, find(stage, name)),
    },
  ];
}
