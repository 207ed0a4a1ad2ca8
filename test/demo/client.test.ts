/** The demo's client believes nothing: otherwise its table would prove nothing. */
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { answer, cut, flip, headers } from '../support/upstream/behaviour.ts';
import { pull } from './client.ts';

const layers = [100_000, 50_000, 20_000, 10_000];

async function upstreamWithImage(): Promise<ScriptedUpstream> {
  const upstream = await ScriptedUpstream.start();
  upstream.content.add('demo/app', buildImage({ layers }), '1.0');
  return upstream;
}

describe('the client of the demo', () => {
  it('pulls the manifest and every blob once, and counts their bytes', async () => {
    await using upstream = await upstreamWithImage();
    const pulled = await pull(upstream.url, 'demo/app', '1.0');
    expect(upstream.count({ kind: 'manifest' })).toBe(1);
    expect(upstream.count({ kind: 'blob' })).toBe(layers.length + 1);
    expect(pulled.outcomes).toHaveLength(layers.length + 2);
    expect(pulled.bytes).toBe(upstream.bytesSent());
  });

  it('reports what Cache-Status says', async () => {
    await using upstream = await upstreamWithImage();
    upstream.always = headers({ 'Cache-Status': 'weir; hit' });
    const { outcomes } = await pull(upstream.url, 'demo/app', '1.0');
    expect(new Set(outcomes)).toEqual(new Set(['weir; hit']));
  });

  it('rejects a blob with one wrong bit', async () => {
    await using upstream = await upstreamWithImage();
    upstream.on({ kind: 'blob' }, { skip: 2, times: 1 }, flip(-1));
    await expect(pull(upstream.url, 'demo/app', '1.0')).rejects.toThrow(
      /blobs\/sha256:[0-9a-f]{64}: the bytes hash to/,
    );
  });

  it('rejects a manifest that is not what its digest header says', async () => {
    await using upstream = await upstreamWithImage();
    upstream.on({ kind: 'manifest' }, headers({ 'Docker-Content-Digest': `sha256:${'0'.repeat(64)}` }));
    await expect(pull(upstream.url, 'demo/app', '1.0')).rejects.toThrow(/Docker-Content-Digest/);
  });

  it('rejects a body that ends too soon', async () => {
    await using upstream = await upstreamWithImage();
    upstream.on({ kind: 'blob' }, cut(-1));
    await expect(pull(upstream.url, 'demo/app', '1.0')).rejects.toThrow();
  });

  it('names the address, the status and the text of a refusal', async () => {
    await using upstream = await upstreamWithImage();
    upstream.on({ kind: 'manifest' }, answer(503, { body: '{"errors":[{"code":"UNAVAILABLE"}]}' }));
    await expect(pull(upstream.url, 'demo/app', '1.0')).rejects.toThrow(
      `GET ${upstream.url}/v2/demo/app/manifests/1.0: 503 {"errors":[{"code":"UNAVAILABLE"}]}`,
    );
  });
});
