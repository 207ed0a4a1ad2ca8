/**
 * Docker Model Runner (v1.2.9, pkg/distribution/oci/remote/remote.go, pkg/internal/registryutil/mirrors.go): containerd's
 * resolver with the mirrors of daemon.json, and a transport that continues a model at the byte where it stopped.
 */
import { describe, expect, it } from 'vitest';
import { digestOfSource, randomSource } from '../support/byte-source.ts';
import { hold } from '../support/upstream/behaviour.ts';
import { artifactOf } from './support/artifacts.ts';
import { ReplayClient } from './support/client.ts';
import { fetchHeaders, pullImage } from './support/containerd.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

const ggufType = 'application/vnd.docker.ai.gguf.v3';
const model = artifactOf({
  config: { mediaType: 'application/vnd.docker.ai.model.config.v0.1+json', content: '{"config":{"format":"gguf"}}' },
  layers: [
    { mediaType: ggufType, content: 6_000_000 },
    { mediaType: 'application/vnd.docker.ai.license', content: 'Apache-2.0' },
  ],
});
/** registry/client.go `DefaultUserAgent`. */
const runner = { userAgent: 'model-distribution' };

// The default registry has two names (oci/reference/reference.go `DefaultRegistry`; mirrors.go `RegistryHosts`).
for (const ns of ['docker.io', 'index.docker.io']) {
  replays(`Docker Model Runner, \`ns=${ns}\``, {
    upstreams: { 'docker.io': holding('ai/smollm2', model, 'latest') },
    client: runner,
    pull: async (client) => void (await pullImage({ client, ns }, 'ai/smollm2', 'latest')),
    cold: { 'HEAD manifest': 1, 'GET manifest': 1, 'GET blob': 3 },
  });
}

describe('Docker Model Runner', () => {
  it('continues a model of which it has the beginning, cold and while it is being fetched', async () => {
    const weights = randomSource(8_000_000, 'weights');
    const digest = digestOfSource(weights);
    await using weir = await startWeir({
      upstreams: { 'docker.io': (content) => void content.addBlob('ai/big', weights) },
    });
    const upstream = weir.upstream('docker.io');
    const target = `/v2/ai/big/blobs/${digest}?ns=docker.io`;
    upstream.on({ kind: 'blob' }, { times: 1 }, hold(3_000_000, upstream.gate('rest')));
    using first = new ReplayClient(weir.origin, runner);
    const begun = await first.get(target, fetchHeaders(ggufType), { leave: { at: 2_500_000, how: 'rst' } });
    expect(begun.bytes).toBe(2_500_000);
    using second = new ReplayClient(weir.origin, runner);
    const continuing = second.get(target, { ...fetchHeaders(ggufType), Range: 'bytes=2500000-' });
    upstream.gate('rest').open();
    const rest = await continuing;
    // remote.go `rangeStartMatchesOffset`: 206, and a Content-Range that begins there; with 200 it would start over.
    expect([rest.status, rest.headers['content-range']]).toEqual([206, 'bytes 2500000-7999999/8000000']);
    expect(Buffer.concat([begun.body, rest.body]).equals(Buffer.from(weights.bytes(0, 8_000_000)))).toBe(true);
    expect(upstream.bytesSent({ kind: 'blob' })).toBe(8_000_000);
    await weir.stopUpstreams();
    const again = await second.get(target, { ...fetchHeaders(ggufType), Range: 'bytes=7999999-' });
    expect([again.status, again.bytes]).toEqual([206, 1]);
  });
});
