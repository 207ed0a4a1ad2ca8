/** Names that exist upstream and were only asked for leave rows; they must never keep blobs out of a small cache. */
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { expect, it } from 'vitest';
import { mib, Stage } from './support/stage.ts';

const heads = 9000;

it('9,000 HEADs do not switch a cache of 16 MiB off: a pull is stored, and hit', async () => {
  await using stage = await Stage.set({ cache: { maxSize: '16MiB' } });
  const { upstream, weir } = stage;
  const digest = upstream.content.addBlob('shared/blob', Buffer.from('x'), sha256('x'));
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  let answered = 0;
  const names = Array.from({ length: heads }, (_, i) => `made-up/${String(i).padStart(180, 'n')}`);
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        upstream.content.addBlob(name, Buffer.from('x'), digest);
        if ((await head(`${weir.url}/v2/${name}/blobs/${digest}`, agent)) === 200) answered++;
      }
    }),
  );
  agent.destroy();
  expect(answered).toBe(heads);
  const blob = stage.addBlob(4 * mib);
  for (const outcome of ['fwd=miss', 'hit']) {
    const response = await fetch(`${weir.url}${blob.path}`);
    expect((await response.arrayBuffer()).byteLength).toBe(4 * mib);
    expect(response.headers.get('cache-status')).toContain(outcome);
    await weir.idle();
  }
  expect(await weir.metric('weir_store_bytes')).toBeLessThan(16 * mib);
  expect(await weir.metric('weir_catalog_bytes')).toBeLessThan(24 * mib);
});

function sha256(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function head(url: string, agent: Agent): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'HEAD', agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    });
    asked.on('error', reject);
    asked.end();
  });
}
