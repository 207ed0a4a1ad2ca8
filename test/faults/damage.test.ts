import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { buildImage } from '../support/image-builder.ts';
import { type RawResponse, rawFetch } from '../support/raw-client.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { type TempDirectory, tempDirectory } from '../support/temp.ts';
import { Daemon } from './support/daemon.ts';
import { damages } from './support/damage.ts';
import { sha256 } from './support/evil-cells.ts';

const image = buildImage({ seed: 'damage', layers: [100_000, 2_000_000, 5000] });
const next = buildImage({ seed: 'damage, next', layers: [1000] });
const digests = [image.digest, ...image.blobs.map(({ digest }) => digest)];
let directory: TempDirectory;
let upstream: ScriptedUpstream;
let pristine: string;

const optionsIn = (path: string): Parameters<typeof Daemon.start>[0] => ({
  directory: path,
  // The other entry has a breaker of its own, which the outage of the first does not open.
  upstreams: { lab: { url: upstream.url, default: true, tags: { ttl: '0s' } }, other: { url: upstream.url } },
  config: { prefetch: { enabled: false } },
});
const place = (digest: string): string => `/v2/team/app/${digest === image.digest ? 'manifests' : 'blobs'}/${digest}`;
const ask = (weir: Daemon, path: string): Promise<RawResponse> => rawFetch(`${weir.url}${path}`, { timeoutMs: 30_000 });

beforeAll(async () => {
  directory = await tempDirectory('weir-damage');
  upstream = await ScriptedUpstream.start();
  upstream.content.add('team/app', image, 'latest');
  upstream.content.add('team/app', next, 'next');
  await using weir = await Daemon.start(optionsIn(directory.file('pristine')));
  expect((await ask(weir, '/v2/team/app/manifests/latest')).status).toBe(200);
  for (const digest of digests) expect((await ask(weir, place(digest))).sha256).toBe(digest);
  await eventually(() => digests.every((digest) => weir.blobs().includes(digest)));
  expect(await weir.stop()).toBe(0);
  pristine = weir.root;
});

afterAll(async () => {
  await upstream?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});

/** Regular files under blobs/ whose name is a digest, re-hashed: none lost, none wrong. */
function expectNothingLost(root: string): void {
  const blobs = join(root, 'blobs', 'sha256');
  const names = readdirSync(blobs).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const wrong = names.filter((name) => {
    const file = join(blobs, name);
    return statSync(file).isFile() && !file.endsWith('f'.repeat(64)) && sha256(readFileSync(file)) !== `sha256:${name}`;
  });
  expect(wrong).toEqual([]);
  for (const digest of digests) expect(names).toContain(digest.slice('sha256:'.length));
}

describe('a damaged root', () => {
  it.each(damages.map((damage) => [damage.name, damage] as const))(
    '%s: starts, serves what is cached, loses nothing',
    async (name, damage) => {
      const path = directory.file(name);
      cpSync(pristine, join(path, 'cache'), { recursive: true });
      damage.inflict(join(path, 'cache'));
      if (damage.losesMeaning !== true) await upstream.stop();
      try {
        await using weir = await Daemon.start(optionsIn(path));
        upstream.forgetRequests();
        // What is known about the digests may be read again beside serving.
        for (const digest of digests) {
          await eventually(
            async () => (await ask(weir, place(digest))).sha256 === digest,
            () => `${place(digest)}\n${weir.tail()}`,
          );
        }
        await eventually(async () => (await ask(weir, '/v2/team/app/manifests/latest')).sha256 === image.digest);
        expectNothingLost(weir.root);
        // Bytes that are there are not brought again, whatever had to be asked about them; only where nobody knows any more
        // who sent them, the upstream has to show once that it has them.
        const sent = upstream.matching({ kind: 'blob', method: 'GET' }).map(({ reference }) => reference);
        if (damage.losesMeaning === true) expect(sent).toHaveLength(new Set(sent).size);
        else expect(upstream.bytesSent({ kind: 'blob' })).toBe(0);
        if (damage.losesMeaning !== true) await upstream.listen();
        // Everything goes on: new content, and a start after this one.
        await eventually(async () => (await ask(weir, '/v2/other/team/app/manifests/next')).sha256 === next.digest);
        expect(await weir.stop()).toBe(0);
        await weir.start();
        expect((await ask(weir, `/v2/other/team/app/manifests/${next.digest}`)).sha256).toBe(next.digest);
        for (const digest of digests) expect((await ask(weir, place(digest))).sha256).toBe(digest);
        expect(await weir.stop()).toBe(0);
        const lines = readFileSync(weir.logFile, 'utf8').trimEnd().split('\n');
        expect(lines.filter((line) => !line.startsWith('{') || line.includes('defect'))).toEqual([]);
        expectNothingLost(weir.root);
      } finally {
        await upstream.listen().catch(() => undefined); // it listens already
      }
    },
  );

  it('there were more than twenty', () => expect(damages.length).toBeGreaterThan(20));

  it('a blob that has become shorter is brought again, and never served', async () => {
    const path = directory.file('short');
    cpSync(pristine, join(path, 'cache'), { recursive: true });
    const [, , layer = ''] = digests;
    const file = join(path, 'cache', 'blobs', 'sha256', layer.slice('sha256:'.length));
    chmodSync(file, 0o644);
    truncateSync(file, 50_000);
    await using weir = await Daemon.start(optionsIn(path));
    const got = await ask(weir, place(layer));
    expect([got.status, got.cleanEnd, got.sha256]).toEqual([200, true, layer]);
    await eventually(() => existsSync(file) && sha256(readFileSync(file)) === layer);
    expect(await weir.stop()).toBe(0);
  });
});
