/**
 * Tekton bundles (pipeline main, pkg/remote/oci/resolver.go): an image whose layers are tasks, read by annotation; a layer
 * that is no tar is read again as it is.
 */
import { expect } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { artifactOf } from './support/artifacts.ts';
import { parse } from './support/descriptor.ts';
import { blobBytes, ggcr, manifest, ping } from './support/ggcr.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

function task(name: string): { mediaType: string; content: string; annotations: Record<string, string> } {
  return {
    mediaType: mediaTypes.dockerLayer,
    content: `apiVersion: tekton.dev/v1\nkind: Task\nmetadata: { name: ${name} }\n`,
    annotations: {
      'dev.tekton.image.kind': 'task',
      'dev.tekton.image.apiVersion': 'v1',
      'dev.tekton.image.name': name,
    },
  };
}
const bundle = artifactOf({
  mediaType: mediaTypes.dockerManifest,
  config: { mediaType: mediaTypes.dockerConfig, content: '{"architecture":"","os":""}' },
  layers: [task('build'), task('deploy')],
});
/** `resolver: bundles, params: bundle: weir:5000/ghcr.io/org/tasks:1`. */
const repository = 'ghcr.io/org/tasks';

replays('Tekton, one task of a bundle', {
  upstreams: { 'ghcr.io': holding('org/tasks', bundle, '1') },
  client: ggcr,
  pull: async (client) => {
    await ping({ client });
    const { bytes } = await manifest({ client }, repository, '1');
    const layers = (parse(bytes).layers ?? []) as readonly (NonNullable<ReturnType<typeof parse>['layers']>[number] & {
      readonly annotations?: Readonly<Record<string, string>>;
    })[];
    const wanted = layers.find(({ annotations }) => annotations?.['dev.tekton.image.name'] === 'deploy');
    if (wanted === undefined) throw new Error('no such task');
    // `readTarLayer` fails on a plain text, and `readRawLayer` fetches it once more.
    for (let i = 0; i < 2; i++)
      expect((await blobBytes({ client }, repository, wanted)).toString()).toContain('deploy');
  },
  cold: { 'GET manifest': 1, 'GET blob': 1 },
});
