import { open, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readManifest } from '../../src/oci/manifest.ts';
import { eventually, Gate, within } from './gate.ts';
import { allManifests, buildArtifact, buildImage, buildIndex } from './image-builder.ts';
import { expectNoLeaks, leaksSince, takeSnapshot } from './leaks.ts';
import { tempDirectory } from './temp.ts';

describe('gate', () => {
  it('stops, counts and lets go', async () => {
    const gate = new Gate('g');
    const passed: number[] = [];
    const all = [1, 2, 3].map((n) => gate.pass().then(() => passed.push(n)));
    await gate.arrived(3);
    expect([gate.arrivals, gate.held, passed.length]).toEqual([3, 3, 0]);
    gate.release(1);
    await all[0];
    expect(passed).toEqual([1]);
    gate.open();
    await Promise.all(all);
    await gate.pass();
    expect([gate.arrivals, gate.held]).toEqual([4, 0]);
    gate.close();
    void gate.pass();
    expect(gate.held).toBe(1);
  });

  it('names what does not arrive', async () => {
    await expect(new Gate('door').arrived(1, 10)).rejects.toThrow('0 of 1 arrived at "door"');
    await expect(
      eventually(
        () => false,
        () => 'the impossible',
        10,
      ),
    ).rejects.toThrow('not within 10 ms: the impossible');
    await expect(within(1000, Promise.resolve(1), () => '')).resolves.toBe(1);
  });
});

describe('image builder', () => {
  it('builds the same image from the same seed, in the form that weir reads', () => {
    for (const flavour of ['oci', 'docker'] as const) {
      const image = buildImage({ seed: 'x', flavour, layers: [10, 20] });
      expect(buildImage({ seed: 'x', flavour, layers: [10, 20] }).digest).toBe(image.digest);
      expect(buildImage({ seed: 'y', flavour, layers: [10, 20] }).digest).not.toBe(image.digest);
      expect(readManifest(image.bytes)).toMatchObject({
        kind: 'manifest',
        mediaType: image.mediaType,
        blobs: image.blobs.map(({ digest, bytes, mediaType }) => ({ digest, size: bytes.length, mediaType })),
        unreadable: 0,
      });
    }
  });

  it('builds indexes and artifacts', () => {
    const images = ['amd64', 'arm64'].map((architecture) =>
      buildImage({ seed: architecture, platform: { os: 'linux', architecture } }),
    );
    const index = buildIndex(images);
    expect(readManifest(index.bytes)).toMatchObject({
      kind: 'index',
      children: images.map(({ descriptor }) => descriptor),
    });
    expect(allManifests(index)).toEqual([...images, index]);
    const artifact = buildArtifact({ subject: index, artifactType: 'application/vnd.x' });
    expect(readManifest(artifact.bytes)).toMatchObject({
      artifactType: 'application/vnd.x',
      subject: { digest: index.digest },
    });
    expect(buildImage({ algorithm: 'sha512' }).digest).toMatch(/^sha512:/);
  });
});

describe('leaks', () => {
  it('finds an open file and a listening socket, and is content when they are closed', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('x'), 'x');
    const before = takeSnapshot();
    const file = await open(temp.file('x'));
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    expect(leaksSince(before).join()).toContain('TCPServerWrap');
    if (process.platform === 'linux') expect(leaksSince(before).join()).toContain(temp.file('x'));
    await expect(expectNoLeaks(before, 20)).rejects.toThrow('still there');
    await file.close();
    await new Promise((resolve) => server.close(resolve));
    await expectNoLeaks(before);
  });
});

it('a temporary directory goes away with its content', async () => {
  let path: string;
  {
    await using temp = await tempDirectory('label');
    path = temp.path;
    await writeFile(temp.file('a'), '1');
    expect(path).toContain('weir-label-');
  }
  await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
});
