/** Models and data that are not run: pulled as images and artifacts, and read in pieces where they lie. */
import { createHash } from 'node:crypto';
import type { Client } from '../clients/client.ts';
import { podman } from '../clients/podman.ts';
import { pullWithOrasPython, readWithGdal, type PixelWindow } from '../clients/python.ts';
import { crane, orasGo, skopeo } from '../clients/simple.ts';
import { pushEarth, pushModelcar, pushWhisper, scene, type Earth } from '../content/data.ts';
import { pixelAt } from '../content/earth.ts';
import type { Artifact } from '../content/seed.ts';
import { Relay } from '../relay.ts';
import { CheckError } from '../report.ts';
import { blobTransfers } from '../request-log.ts';
import { revive, type Seeded, type Stage } from '../stage.ts';
import { needed } from '../tools.ts';
import { onceEach } from './cost.ts';
import { playMatrix, titleOf } from './matrix.ts';
import { playPhases } from './phases.ts';

type Versions = ReadonlyMap<string, string>;

const named = (client: Client, what: string): Client => ({ ...client, name: `${what} by ${client.name}` });
const pythonRow = (versions: Versions, what: string): string => `${what} by oras Python ${versions.get('orasPython')}`;
const gdalRow = (versions: Versions): string => `scene by rasterio ${versions.get('rasterio')} (GDAL /vsicurl)`;

const carClients = [skopeo, podman].map((client) => named(client, 'modelcar'));
const artifactClients = (what: string): readonly Client[] => [orasGo, crane].map((client) => named(client, what));

async function playArtifact(stage: Stage, seeded: Seeded, artifact: Artifact, what: string): Promise<void> {
  for (const client of artifactClients(what)) await playMatrix(stage, client, { ...seeded, artifacts: [artifact] });
  const { upstream } = seeded;
  await playPhases(stage, {
    row: `${pythonRow(stage.versions, what)} @ ${upstream.name}`,
    seeded,
    act: async ({ host }) => {
      const directory = stage.workspace.directory('oras-python');
      const reference = `${host}/${upstream.name}/${artifact.repository}:${artifact.tag}`;
      const digests = await pullWithOrasPython(stage.tools.orasPython, reference, directory);
      stage.workspace.remove(directory);
      // The config is an empty document that it does not write.
      const absent = artifact.direct.amd64.slice(1).filter((digest) => !digests.includes(digest));
      if (absent.length > 0) throw new CheckError(`the client has no ${absent.join(' ')}`);
      return `${digests.length} files`;
    },
    cost: (_, requests) => onceEach(requests, [artifact]),
  });
}

export async function playModelcar(stage: Stage, seeded: Seeded): Promise<void> {
  await revive(seeded);
  const artifact = await pushModelcar(stage, seeded.upstream);
  for (const client of carClients) await playMatrix(stage, client, { ...seeded, artifacts: [artifact] });
}

export async function playWhisper(stage: Stage, seeded: Seeded): Promise<void> {
  await revive(seeded);
  await playArtifact(stage, seeded, await pushWhisper(stage, seeded.upstream), 'whisper.cpp');
}

export async function playScene(stage: Stage, seeded: Seeded): Promise<void> {
  await revive(seeded);
  const earth = await pushEarth(stage, seeded.upstream);
  await playArtifact(stage, seeded, earth.artifact, 'scene');
  await playPieces(stage, seeded, earth);
}

/** Far apart, and one of them over the edge of two strips. */
const windows: readonly PixelWindow[] = [
  [0, 0, 5, 2],
  [4000, 4095, 7, 3],
  [8180, 8190, 12, 2],
];

/** GDAL opens the TIFF where it lies in weir and reads three windows of it; then the whole is compared. */
async function playPieces(stage: Stage, seeded: Seeded, { artifact, digest, sizeBytes }: Earth): Promise<void> {
  const { upstream } = seeded;
  const path = `/v2/${upstream.name}/${artifact.repository}/blobs/${digest}`;
  await playPhases(stage, {
    row: `${gdalRow(stage.versions)} @ ${upstream.name}`,
    seeded,
    act: async (weir) => {
      const relay = await Relay.start(weir.host);
      try {
        const seen = await readWithGdal(needed(stage.tools, 'rasterio'), `http://${relay.host}${path}`, windows);
        const right = windows.map(([column, row, width, height]) =>
          Array.from({ length: height }, (_, y) =>
            Array.from({ length: width }, (__, x) => pixelAt(column + x, row + y)),
          ),
        );
        if (JSON.stringify(seen) !== JSON.stringify({ crs: 'EPSG:4326', width: scene.side, windows: right })) {
          throw new CheckError(`GDAL saw ${JSON.stringify(seen)}`);
        }
        const ranges = relay.passed.filter(({ method, range }) => method === 'GET' && range !== undefined);
        const readBytes = relay.passed.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
        const wrong = ranges.filter(({ status }) => status !== 206);
        if (ranges.length < windows.length || wrong.length > 0 || readBytes > sizeBytes / 10) {
          throw new CheckError(`it did not read in pieces: ${JSON.stringify(relay.passed)}`);
        }
        await wholeIsRight(`http://${weir.host}${path}`, digest);
        return `${ranges.length} ranges of ${(readBytes / 1000).toFixed(0)} kB in all`;
      } finally {
        await relay.stop();
      }
    },
    cost: (phase, requests) => {
      const { sizeBytes: sentBytes } = blobTransfers(requests, digest);
      if (phase === 'cold' && sentBytes !== sizeBytes) {
        throw new CheckError(`${sentBytes} bytes of ${sizeBytes} came from the upstream`);
      }
    },
  });
}

async function wholeIsRight(url: string, digest: string): Promise<void> {
  const answer = await fetch(url);
  const found = `sha256:${createHash('sha256')
    .update(new Uint8Array(await answer.arrayBuffer()))
    .digest('hex')}`;
  if (found !== digest) throw new CheckError(`the whole hashes to ${found}`);
}

const rowsOf = (clients: readonly Client[], versions: Versions): readonly string[] =>
  clients.map((client) => `${titleOf(client, versions)} @ dist3.test`);

/** Rows of the matrix, for when a program is absent. */
export const sceneRows = (versions: Versions): readonly string[] => [
  ...rowsOf(artifactClients('scene'), versions),
  `${pythonRow(versions, 'scene')} @ dist3.test`,
  `${gdalRow(versions)} @ dist3.test`,
];
