/** Images that are made for a mount: data without a program, and the one that keeps the namespaces of a pod. */
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { directPull } from '../direct-pull.ts';
import { run } from '../process.ts';
import type { Stage } from '../stage.ts';
import type { Upstream } from '../upstreams.ts';
import { ImageLayout, oci } from './image-layout.ts';
import { packLayer } from './images.ts';
import type { Artifact } from './seed.ts';

type Maker = Pick<Stage, 'tools' | 'workspace'>;

async function pushTree(
  { tools, workspace }: Maker,
  upstream: Upstream,
  repository: string,
  command: readonly string[],
  fill: (tree: string) => void,
): Promise<Artifact> {
  using temporary = workspace.scratch('data-image');
  const directory = temporary.path;
  const [tree, scratch] = [join(directory, 'tree'), join(directory, 'scratch')];
  for (const path of [tree, scratch]) mkdirSync(path);
  fill(tree);
  const layout = new ImageLayout(join(directory, 'layout'));
  const layers = [await packLayer(tree, scratch)];
  layout.finish(layout.addImage({ family: oci, layers, command, architecture: 'amd64' }));
  await run(tools.crane, ['push', layout.directory, `${upstream.host}/${repository}:1`]);
  return { name: repository, kind: 'image', repository, tag: '1', direct: await directPull(upstream, repository, '1') };
}

/** Of a new image: where it is and the SHA-256 of its file, in hexadecimal. */
export interface DataImage {
  readonly artifact: Artifact;
  readonly sha256: string;
}

/** The file of a data image, seen from the image's root. */
export const dataFile = 'data/values.bin';

/** An image `FROM scratch` with one file of random bytes, as an export of a volume makes it. */
export async function pushData(
  maker: Maker,
  upstream: Upstream,
  repository: string,
  sizeBytes: number,
): Promise<DataImage> {
  const bytes = randomBytes(sizeBytes);
  const artifact = await pushTree(maker, upstream, repository, [], (tree) => {
    mkdirSync(join(tree, 'data'));
    writeFileSync(join(tree, dataFile), bytes);
  });
  return { artifact, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** What a pod's first container runs: nothing, for a day. */
export async function pushPause(maker: Maker, upstream: Upstream, repository: string): Promise<Artifact> {
  const command = ['/bin/busybox', 'sleep', '86400'];
  return pushTree(maker, upstream, repository, command, (tree) => {
    mkdirSync(join(tree, 'bin'));
    copyFileSync(maker.tools.busybox, join(tree, 'bin', 'busybox'));
  });
}
