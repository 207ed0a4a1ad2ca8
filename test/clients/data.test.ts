/**
 * Models and data as plain artifacts, pulled as ORAS does (oras-go v2.7.0): whisper.cpp's models, and an Earth-observation
 * item with its GeoTIFF and its STAC description.
 */
import { describe, expect, it } from 'vitest';
import { artifactOf, emptyConfig } from './support/artifacts.ts';
import { ReplayClient } from './support/client.ts';
import { blobsOf } from './support/descriptor.ts';
import { fetchBlob, fetchReference, oras, pullArtifact } from './support/oras.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

const whisper = artifactOf({
  artifactType: 'application/vnd.whisper.cpp.model',
  config: emptyConfig,
  layers: [
    {
      mediaType: 'application/octet-stream',
      content: 3_000_000,
      annotations: { 'org.opencontainers.image.title': 'ggml-base.en.bin' },
    },
  ],
});
const stac = JSON.stringify({
  type: 'Feature',
  stac_version: '1.1.0',
  id: 'S2B_32TQM',
  assets: { B04: { href: 'B04.tif' } },
});
const observation = artifactOf({
  artifactType: 'application/vnd.eo.item.v1',
  config: { mediaType: 'application/vnd.eo.item.config.v1+json', content: '{"collection":"sentinel-2-l2a"}' },
  layers: [
    {
      mediaType: 'application/geo+json',
      content: stac,
      annotations: { 'org.opencontainers.image.title': 'item.json' },
    },
    {
      mediaType: 'image/tiff; application=geotiff; profile=cloud-optimized',
      content: 2_000_000,
      annotations: { 'org.opencontainers.image.title': 'B04.tif' },
    },
  ],
});

replays('a model of whisper.cpp', {
  upstreams: { 'ghcr.io': holding('org/whisper', whisper, 'base.en') },
  client: oras,
  pull: async (client) => {
    const [, weights] = await pullArtifact(client, 'ghcr.io/org/whisper', 'base.en');
    expect(weights?.length).toBe(3_000_000);
  },
  cold: { 'GET manifest': 1, 'GET blob': 2 },
});

const repository = 'ghcr.io/eo/sentinel-2';
const upstreams = {
  'ghcr.io': holding('eo/sentinel-2', observation, '2026-11-24'),
};

replays('an Earth-observation item', {
  upstreams,
  client: oras,
  pull: async (client) => {
    const [, item, tiff] = await pullArtifact(client, repository, '2026-11-24');
    expect([item?.toString(), tiff?.length]).toEqual([stac, 2_000_000]);
  },
  cold: { 'GET manifest': 1, 'GET blob': 3 },
});

describe('a cloud-optimised GeoTIFF', () => {
  it('is read by its header and a few tiles, before anybody has fetched the whole', async () => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, oras);
    const root = await fetchReference(client, repository, '2026-11-24');
    const tiff = blobsOf(root.bytes)[2];
    if (tiff === undefined) throw new Error('no GeoTIFF');
    const target = `/v2/${repository}/blobs/${tiff.digest}`;
    const parts: Buffer[] = [];
    // GDAL's /vsicurl/: 16 KiB first, then what the directory in them points to.
    for (const [start, end] of [
      [0, 16_384],
      [1_500_000, 1_600_000],
      [700_000, 765_536],
    ] as const) {
      const answer = await client.get(target, { Range: `bytes=${start}-${end - 1}` });
      const range = `bytes ${start}-${end - 1}/2000000`;
      expect([answer.status, answer.headers['content-range'], answer.bytes]).toEqual([206, range, end - start]);
      parts.push(answer.body);
    }
    const whole = await fetchBlob(client, repository, tiff);
    expect(parts[1]?.equals(whole.subarray(1_500_000, 1_600_000))).toBe(true);
    expect(weir.upstream('ghcr.io').bytesSent({ kind: 'blob', reference: tiff.digest })).toBeLessThanOrEqual(2_020_000);
  });
});
