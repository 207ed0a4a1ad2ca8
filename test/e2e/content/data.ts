/** Models and data as artifacts and images: what is pushed for the scenarios about them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { directPull } from '../direct-pull.ts';
import { run } from '../process.ts';
import type { Stage } from '../stage.ts';
import type { Upstream } from '../upstreams.ts';
import { geoTiffType, stacItem, writeGeoTiff, type Scene } from './earth.ts';
import { ImageLayout, oci } from './image-layout.ts';
import { busyboxLayer, packLayer } from './images.ts';
import { safetensors, writeNoiseFile, writeWhisper } from './model-files.ts';
import type { Artifact } from './seed.ts';

type Maker = Pick<Stage, 'tools' | 'workspace'>;

/** An image that carries a model below `/models`, beside a shell to keep it alive with (KServe, "Modelcars"). */
export async function pushModelcar(maker: Maker, upstream: Upstream): Promise<Artifact> {
  const { tools, workspace } = maker;
  const repository = 'models/car';
  using temporary = workspace.scratch('modelcar');
  const directory = temporary.path;
  const [tree, scratch] = [join(directory, 'tree'), join(directory, 'scratch')];
  for (const path of [join(tree, 'models'), scratch]) mkdirSync(path, { recursive: true });
  const says = `modelcar ${directory}`;
  writeFileSync(join(tree, 'models', 'model.safetensors'), safetensors(24_000_000));
  writeFileSync(join(tree, 'models', 'config.json'), JSON.stringify({ model_type: 'test' }));
  writeFileSync(join(tree, 'models', 'README.md'), says);
  const layout = new ImageLayout(join(directory, 'layout'));
  const layers = [await busyboxLayer(workspace, tools.busybox, says), await packLayer(tree, scratch)];
  const command = ['/bin/sh', '-c', 'test -s /models/model.safetensors && cat /models/README.md'];
  layout.finish(layout.addImage({ family: oci, layers, command, architecture: 'amd64' }));
  await run(tools.crane, ['push', layout.directory, `${upstream.host}/${repository}:1`]);
  return {
    name: 'modelcar',
    kind: 'image',
    repository,
    tag: '1',
    direct: await directPull(upstream, repository, '1'),
    says,
  };
}

interface Push {
  readonly repository: string;
  readonly artifactType: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Media types by file. */
  readonly files: ReadonlyMap<string, string>;
}

async function pushArtifact({ tools }: Maker, upstream: Upstream, push: Push): Promise<Artifact> {
  const { repository, artifactType, annotations, files } = push;
  const flags = Object.entries(annotations).map(([key, value]) => `-annotation=${key}=${value}`);
  const layers = [...files].map(([file, mediaType]) => `${file}=${mediaType}`);
  const target = `${upstream.host}/${repository}:1`;
  await run(tools.orasClient, ['push', `-artifact-type=${artifactType}`, ...flags, target, ...layers]);
  const direct = await directPull(upstream, repository, '1');
  return { name: repository, kind: 'artifact', repository, tag: '1', direct };
}

/** A model of whisper.cpp with its encoder for another kind of machine: files, and nothing that unpacks them. */
export async function pushWhisper(maker: Maker, upstream: Upstream): Promise<Artifact> {
  using temporary = maker.workspace.scratch('whisper');
  const directory = temporary.path;
  const [model, encoder] = [join(directory, 'ggml-tiny.bin'), join(directory, 'ggml-tiny-encoder.mlmodelc.zip')];
  writeWhisper(model, 77_000_000);
  writeNoiseFile(encoder, 3_000_000);
  return await pushArtifact(maker, upstream, {
    repository: 'models/whisper',
    artifactType: 'application/vnd.whisper.model.v1',
    annotations: { 'org.opencontainers.image.title': 'ggml-tiny', 'org.opencontainers.image.licenses': 'MIT' },
    files: new Map([
      [model, 'application/vnd.ggml.model.v1'],
      [encoder, 'application/zip'],
    ]),
  });
}

export const scene: Scene = { side: 8192, rowsPerStrip: 16 };

export interface Earth {
  readonly artifact: Artifact;
  /** The TIFF's. */
  readonly digest: string;
  readonly sizeBytes: number;
}

/** A scene and its STAC item. */
export async function pushEarth(maker: Maker, upstream: Upstream): Promise<Earth> {
  using temporary = maker.workspace.scratch('earth');
  const directory = temporary.path;
  const [tiff, item] = [join(directory, 'visual.tif'), join(directory, 'item.json')];
  writeGeoTiff(tiff, scene);
  writeFileSync(item, stacItem(scene, directory, './visual.tif'));
  const artifact = await pushArtifact(maker, upstream, {
    repository: 'data/scene',
    artifactType: 'application/vnd.stac.item.v1',
    annotations: { 'org.opencontainers.image.title': 'scene', 'test.weir.cloud-cover': '3' },
    files: new Map([
      [item, 'application/geo+json'],
      [tiff, geoTiffType],
    ]),
  });
  const [largest] = [...artifact.direct.blobs].toSorted(([, one], [, other]) => other - one);
  if (largest === undefined) throw new Error('an artifact without blobs');
  return { artifact, digest: largest[0], sizeBytes: largest[1] };
}
