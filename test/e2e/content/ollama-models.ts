/** Models as Ollama publishes them: a Docker manifest whose layers are the files of a model. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { run } from '../process.ts';
import type { Tools } from '../tools.ts';
import type { Upstream } from '../upstreams.ts';
import type { Workspace } from '../workspace.ts';
import { docker, ImageLayout, type Descriptor } from './image-layout.ts';
import { writeGguf } from './model-files.ts';

/** Media types of layers (ollama 0.17.4, server/create.go and manifest/layer.go). */
const typeOf = (part: string): string => `application/vnd.ollama.image.${part}`;

async function push(
  tools: Tools,
  upstream: Upstream,
  name: string,
  layout: ImageLayout,
  layers: readonly Descriptor[],
): Promise<void> {
  const config = layout.addJson(docker.config, {
    model_format: 'gguf',
    model_family: 'llama',
    model_families: ['llama'],
    model_type: '400M',
    file_type: 'F32',
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  layout.finish(layout.addJson(docker.manifest, { schemaVersion: 2, mediaType: docker.manifest, config, layers }));
  await run(tools.crane, ['push', layout.directory, `${upstream.host}/${name}`], { timeoutMs: 300_000 });
}

/** A model of one GGUF file of 1.6 GB, the least of which Ollama makes sixteen parts (server/download.go). */
export async function pushGgufModel(
  { tools, workspace }: { readonly tools: Tools; readonly workspace: Workspace },
  upstream: Upstream,
  name: string,
): Promise<void> {
  using temporary = workspace.scratch('gguf');
  const directory = temporary.path;
  const file = join(directory, 'model.gguf');
  const bytesOfRow = 16_384;
  writeGguf(file, name, Math.ceil(1_600_000_000 / bytesOfRow));
  const layout = new ImageLayout(join(directory, 'layout'));
  const json = (part: string, value: object): Descriptor => layout.addJson(typeOf(part), value);
  const text = (part: string, value: string): Descriptor => layout.addBlob(Buffer.from(value), typeOf(part));
  await push(tools, upstream, name, layout, [
    await layout.addFile(file, typeOf('model')),
    text('template', '{{ .Prompt }}'),
    text('license', `Nothing is granted by this text. ${name} ${directory}`),
    json('params', { stop: ['<|end|>'], temperature: 0.5 }),
  ]);
}

/** A model of one blob per tensor, which Ollama 0.16 and later pull whole, 64 at a time. */
export async function pushTensorModel(
  { tools, workspace }: { readonly tools: Tools; readonly workspace: Workspace },
  upstream: Upstream,
  name: string,
): Promise<void> {
  using temporary = workspace.scratch('tensors');
  const directory = temporary.path;
  const layout = new ImageLayout(join(directory, 'layout'));
  const tensors = Array.from({ length: 96 }, (_, index) => ({
    ...layout.addBlob(randomBytes(200_000 + index * 10_000), typeOf('tensor')),
    name: `blk.${index}.weight`,
  }));
  const described = {
    ...layout.addJson(typeOf('json'), { architectures: ['Test'], name }),
    name: 'model_index.json',
  };
  await push(tools, upstream, name, layout, [...tensors, described]);
}
