/**
 * Ollama (v0.17.4, server/images.go and download.go), which also runs for real in the end-to-end suite: the manifest, a HEAD
 * and a GET of each blob for its size and its address, then up to 16 parts at once, without credentials.
 */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { digestOfSource, randomSource } from '../support/byte-source.ts';
import { RawConnection } from '../support/raw-client.ts';
import { rate } from '../support/upstream/behaviour.ts';
import { artifactOf } from './support/artifacts.ts';
import { type ClientOptions, ReplayClient } from './support/client.ts';
import { blobsOf, type Described, expectWhole } from './support/descriptor.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

/** images.go `makeRequest`; parts are fetched by http.DefaultClient, whose name is Go's. */
const ollama: ClientOptions = { userAgent: 'ollama/0.17.4 (amd64 linux) Go/go1.24.1' };
const parts: ClientOptions = { userAgent: 'Go-http-client/1.1' };
/** download.go `numDownloadParts`. They are 100 MB and more there; a part is a part at any size. */
const partCount = 16;

const model = artifactOf({
  mediaType: mediaTypes.dockerManifest,
  config: { mediaType: mediaTypes.dockerConfig, content: '{"model_format":"gguf"}' },
  layers: [
    { mediaType: 'application/vnd.ollama.image.model', content: 4_000_000 },
    { mediaType: 'application/vnd.ollama.image.params', content: '{"stop":["<|im_end|>"]}' },
  ],
});
/**
 * `ollama pull --insecure weir:5000/library/m`: types/model/name.go has room for host, namespace and model and for no path, so
 * registry.ollama.ai is the default upstream, or has a host of its own.
 */
const repository = 'library/m';
const asDefault = { 'registry.ollama.ai': { default: true } };

/** download.go `Prepare` and `run`. Answers where the parts are: `resp.Location()`, resolved against the request. */
async function directUrl(client: ReplayClient, { digest, size }: Pick<Described, 'digest' | 'size'>): Promise<string> {
  const target = `/v2/${repository}/blobs/${digest}`;
  const head = await client.head(target);
  expect([head.status, head.headers['content-length']]).toEqual([200, String(size)]);
  // Only the head is read; the body is closed, and the connection with it. 200 or 307, anything else is an error.
  using connection = await RawConnection.open(client.origin);
  connection.send(target, { headers: { 'User-Agent': ollama.userAgent, 'Accept-Encoding': 'gzip' } });
  const answer = await connection.head();
  expect(answer.status).toBe(200);
  const location = answer.headers['location'];
  if (location === undefined) throw new Error('http: no Location header in response');
  const url = new URL(location, new URL(target, client.origin));
  expect(url.origin).toBe(client.origin);
  return url.pathname + url.search;
}

/** download.go `downloadChunk`: its own client, no headers but Range. 206 is not checked: whatever comes is written there. */
async function part(origin: string, url: string, start: number, end: number): Promise<Buffer> {
  using client = new ReplayClient(origin, parts);
  const answer = await client.get(url, { Range: `bytes=${start}-${end - 1}` });
  expect([answer.status, answer.bytes]).toEqual([206, end - start]);
  return answer.body;
}

async function pullBlob(client: ReplayClient, wanted: Described): Promise<Buffer> {
  const url = await directUrl(client, wanted);
  const step = Math.max(Math.ceil(wanted.size / partCount), 1);
  const starts = Array.from({ length: Math.ceil(wanted.size / step) }, (_, i) => i * step);
  const bodies = await Promise.all(
    starts.map((start) => part(client.origin, url, start, Math.min(start + step, wanted.size))),
  );
  return Buffer.concat(bodies);
}

replays('Ollama', {
  upstreams: { 'registry.ollama.ai': holding(repository, model, 'latest') },
  configure: asDefault,
  client: ollama,
  pull: async (client) => {
    // images.go `pullModelManifest`: one GET with one type.
    const manifest = await client.get(`/v2/${repository}/manifests/latest`, { Accept: mediaTypes.dockerManifest });
    expect([manifest.status, manifest.sha256]).toEqual([200, model.digest]);
    for (const wanted of blobsOf(manifest.body)) {
      const bytes = await pullBlob(client, wanted);
      expect(model.blobs.find(({ digest }) => digest === wanted.digest)?.bytes.equals(bytes)).toBe(true);
    }
  },
  cold: { 'GET manifest': 1, 'HEAD blob': 3, 'GET blob': 3 },
});

const tensors = artifactOf({
  mediaType: mediaTypes.dockerManifest,
  config: { mediaType: mediaTypes.dockerConfig, content: '{"model_format":"safetensors"}' },
  layers: Array.from({ length: 12 }, (_, i) => ({
    mediaType: 'application/vnd.ollama.image.tensor',
    content: 300_000 + i,
  })),
});

/**
 * x/imagegen/transfer/download.go, for models whose tensors are layers of their own: each is asked for to learn where it is
 * (`resolve`: the body is closed unread, at 200 too), and then whole (`downloadOnce`: 200 alone will do), many at once.
 */
replays('Ollama, a model of tensors', {
  upstreams: { 'registry.ollama.ai': holding(repository, tensors, 'latest') },
  configure: asDefault,
  client: ollama,
  pull: async (client) => {
    const manifest = await client.get(`/v2/${repository}/manifests/latest`, { Accept: mediaTypes.dockerManifest });
    await Promise.all(
      blobsOf(manifest.body).map(async (wanted) => {
        const target = `/v2/${repository}/blobs/${wanted.digest}`;
        using connection = await RawConnection.open(client.origin);
        connection.send(target, { headers: { 'User-Agent': ollama.userAgent, 'Accept-Encoding': 'gzip' } });
        expect((await connection.head()).status).toBe(200);
        connection.close('rst');
        expectWhole(await client.get(target), wanted);
      }),
    );
  },
  // Asking twice costs the upstream once.
  cold: { 'GET manifest': 1, 'GET blob': 13 },
});

describe('Ollama', () => {
  it('has all 16 parts begun while the transfer has not come to them, and the model costs its size once', async () => {
    const size = 96_000_000;
    const weights = randomSource(size, 'ollama');
    const wanted = { digest: digestOfSource(weights), size };
    await using weir = await startWeir({
      upstreams: { 'registry.ollama.ai': (content) => void content.addBlob(repository, weights) },
      configure: asDefault,
    });
    const upstream = weir.upstream('registry.ollama.ai');
    // One connection would need 24 s at this rate, and come to the last part after 22.
    upstream.on({ kind: 'blob', method: 'GET' }, rate(4_000_000));
    using client = new ReplayClient(weir.origin, ollama);
    const url = await directUrl(client, wanted);
    const step = size / partCount;
    /** What the upstream had sent when a part had its first byte, and how long that took. */
    const begun: { readonly sentBytes: number; readonly afterMs: number }[] = [];
    const askedMs = performance.now();
    const bodies = Array.from({ length: partCount }, async (_, i) => {
      using one = new ReplayClient(weir.origin, parts);
      const onBytes = (): void => {
        begun[i] ??= { sentBytes: upstream.bytesSent({ kind: 'blob' }), afterMs: performance.now() - askedMs };
        // Enough is known then; the rest may come as fast as it can.
        if (Object.keys(begun).length === partCount) upstream.clearRules();
      };
      const answer = await one.get(url, { Range: `bytes=${i * step}-${(i + 1) * step - 1}` }, { onBytes, keep: false });
      const expected = digestOf(weights.bytes(i * step, (i + 1) * step));
      expect([i, answer.status, answer.bytes, answer.sha256]).toEqual([i, 206, step, expected]);
    });
    await Promise.all(bodies);
    expect(begun.length).toBe(partCount);
    // download.go: a part that rests for 30 s is begun again.
    expect(Math.max(...begun.map(({ afterMs }) => afterMs))).toBeLessThan(30_000);
    // The last one as well before the transfer could have come to it in order.
    expect(begun.at(-1)?.sentBytes).toBeLessThan((partCount - 1) * step);
    expect(upstream.bytesSent({ kind: 'blob' })).toBeLessThanOrEqual(size * 1.01);
  }, 120_000);

  it('is sent back to where it came from, be it by a host of its own or with `ns`', async () => {
    await using weir = await startWeir({
      upstreams: { 'docker.io': () => undefined, 'registry.ollama.ai': holding(repository, model, 'latest') },
      configure: { 'registry.ollama.ai': { hosts: ['ollama.weir.example'] } },
    });
    using client = new ReplayClient(weir.origin, ollama);
    const path = `/v2/${repository}/blobs/${model.blobs[1]?.digest}`;
    for (const [target, headers] of [
      [path, { Host: 'ollama.weir.example:5000' }],
      [`${path}?ns=registry.ollama.ai`, {}],
    ] as const) {
      for (const state of ['cold', 'warm']) {
        const answer = await client.get(target, headers);
        expect([state, answer.status, answer.headers['location']]).toEqual([state, 200, target]);
      }
    }
    expect(weir.upstream('docker.io').count()).toBe(0);
  });
});
