import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { isLayoutMarker, layoutIndex, layoutMarker, parseLayoutIndex } from '../../../src/oci/layout.ts';
import { within } from '../../support/gate.ts';
import { tempDirectory } from '../../support/temp.ts';
import { rejects } from '../contract.ts';
import { blobFile, content, dumpTree, openTestStore } from '../support/harness.ts';

describe('opening a cache root', () => {
  it('makes an OCI image layout out of nothing, private where it is not part of one', async () => {
    await using temp = await tempDirectory('root');
    const root = temp.file('some', 'where');
    const opened = await openTestStore(root);
    expect(opened.wasClean).toBe(false);
    await opened.recovered;
    await opened.close();
    expect(isLayoutMarker(await readFile(`${root}/oci-layout`))).toBe(true);
    expect(parseLayoutIndex(await readFile(`${root}/index.json`))).toEqual([]);
    expect((await readdir(`${root}/blobs`)).toSorted()).toEqual(['sha256', 'sha512']);
    expect((await readdir(`${root}/weir`)).toSorted()).toEqual([
      'catalog.db',
      'clean',
      'ingest',
      'lock',
      'quarantine',
      'version',
    ]);
    expect((await stat(`${root}/weir`)).mode & 0o777).toBe(0o700);
    expect(await readFile(`${root}/weir/version`, 'utf8')).toBe('1\n');
  });

  it('takes an empty directory, and the mount point of a fresh file system', async () => {
    await using temp = await tempDirectory('root');
    await mkdir(temp.file('lost+found'));
    await using opened = await openTestStore(temp.path);
    expect(opened.logger.complaints()).toEqual([]);
  });

  it('refuses a directory with other things in it, and writes nothing there', async () => {
    await using temp = await tempDirectory('root');
    await writeFile(temp.file('thesis.tex'), 'irreplaceable');
    const before = await dumpTree(temp.path);
    const error = await rejects(openTestStore(temp.path), 'layout');
    expect(error.message).toBe(
      `${temp.path} holds other files and is neither a weir cache nor an OCI image layout; ` +
        'name an empty directory, or one that does not exist yet (cache.root)',
    );
    expect(await dumpTree(temp.path)).toBe(before);
    expect(await readdir(temp.path)).toEqual(['thesis.tex']);
  });

  // Node's own recursive mkdir never ends here.
  it.runIf(process.platform === 'linux')('says so where nothing can be made', async () => {
    const error = await rejects(
      within(10_000, openTestStore('/proc/no/such/place'), () => 'the root is refused'),
      'sick',
    );
    expect(error.message).toContain('creating the cache root /proc/no/such/place');
  });

  it('says so where a link leads to a disk that is not there', async () => {
    await using temp = await tempDirectory('root');
    await symlink(temp.file('unplugged'), temp.file('disk'));
    for (const root of [temp.file('disk'), temp.file('disk', 'weir')]) await rejects(openTestStore(root), 'layout');
    expect(await readdir(temp.path)).toEqual(['disk']);
  });

  it('refuses a file, and a path through a file', async () => {
    await using temp = await tempDirectory('root');
    await writeFile(temp.file('plain'), '');
    for (const root of [temp.file('plain'), temp.file('plain', 'below')]) {
      const error = await rejects(openTestStore(root), 'layout');
      expect(error.message).toContain(`${root} is not a directory`);
    }
  });

  it('refuses a root that a newer weir wrote, and leaves it as it is', async () => {
    await using temp = await tempDirectory('root');
    await (await openTestStore(temp.path)).close();
    await writeFile(temp.file('weir', 'version'), '2\n');
    const before = await dumpTree(temp.path);
    const error = await rejects(openTestStore(temp.path), 'layout');
    expect(error.message).toContain('layout version 2, this weir knows versions up to 1');
    expect(await dumpTree(temp.path)).toBe(before);
  });

  it('says so when it may not write there', async () => {
    await using temp = await tempDirectory('root');
    await chmod(temp.path, 0o500);
    // Root may write everywhere; /sys takes no directories from anybody.
    const root = process.getuid?.() === 0 ? '/sys/weir' : temp.file('below');
    const error = await rejects(openTestStore(root), 'sick');
    expect(error.message).toContain(`creating the cache root ${root} failed`);
    await chmod(temp.path, 0o700);
  });

  it('takes over an OCI image layout: its blobs are there, unproved, and its index is kept', async () => {
    await using temp = await tempDirectory('root');
    const { bytes, digest } = content();
    await mkdir(temp.file('blobs', 'sha256'), { recursive: true });
    await writeFile(blobFile(temp.path, digest), bytes);
    await writeFile(temp.file('oci-layout'), layoutMarker);
    const index = layoutIndex([{ descriptor: { mediaType: 'a/b', digest, size: 1000 }, refName: 'latest' }]);
    await writeFile(temp.file('index.json'), index);
    await using opened = await openTestStore(temp.path);
    expect(await opened.store.stat(digest)).toMatchObject({ isSuspect: true });
    expect(await opened.recovered).toMatchObject({ isComplete: true, blobs: 1, reconciled: 0 });
    expect(await readFile(temp.file('weir', 'index.before-weir.json'))).toEqual(Buffer.from(index));
  });

  it('repairs a damaged layout marker and a missing version, and says so', async () => {
    for (const marker of ['', '{', '{"imageLayoutVersion":"9"}', 'x'.repeat(100_000)]) {
      await using temp = await tempDirectory('root');
      const { bytes, digest } = content();
      const first = await openTestStore(temp.path);
      await first.store.put(digest, bytes);
      await first.close();
      await writeFile(temp.file('oci-layout'), marker);
      await writeFile(temp.file('weir', 'version'), marker.slice(0, 100));
      await using second = await openTestStore(temp.path);
      expect(await second.store.stat(digest)).toMatchObject({ isSuspect: false });
      expect(second.logger.complaints()).toHaveLength(2);
      expect(isLayoutMarker(await readFile(temp.file('oci-layout')))).toBe(true);
      expect(await readFile(temp.file('weir', 'version'), 'utf8')).toBe('1\n');
    }
  });

  it('does not hang on a pipe in place of a file', async () => {
    await using temp = await tempDirectory('root');
    await (await openTestStore(temp.path)).close();
    for (const name of ['oci-layout', 'index.json', 'weir/version', 'weir/clean']) {
      await rm(temp.file(name), { force: true });
      execFileSync('mkfifo', [temp.file(name)]);
      const opened = await within(10_000, openTestStore(temp.path), () => `${name} holds up the start`);
      await opened.recovered;
      await opened.close();
      await rm(temp.file(name), { force: true });
    }
  });

  it('removes what a killed atomic write left behind', async () => {
    await using temp = await tempDirectory('root');
    await (await openTestStore(temp.path)).close();
    for (const name of ['index.json.0123456789ab.tmp', 'weir/clean.0123456789ab.tmp']) {
      await writeFile(temp.file(name), 'half');
    }
    await using opened = await openTestStore(temp.path);
    expect(await dumpTree(temp.path)).not.toContain('.tmp');
    await opened.recovered;
  });
});

describe('the clean marker', () => {
  it('is gone while a daemon runs, and written by an orderly stop only', async () => {
    await using temp = await tempDirectory('root');
    const first = await openTestStore(temp.path);
    expect(await readdir(temp.file('weir'))).not.toContain('clean');
    await first.close();
    await first.close();
    expect(await readdir(temp.file('weir'))).toContain('clean');
    const second = await openTestStore(temp.path);
    expect(second.wasClean).toBe(true);
    expect(await readdir(temp.file('weir'))).not.toContain('clean');
    await second.close();
  });

  it('counts for nothing when it is not what weir writes', async () => {
    await using temp = await tempDirectory('root');
    for (const text of ['', '{}', '[]', 'null', '{"stoppedAtMs":"1"}', '{"stoppedAtMs":1']) {
      await (await openTestStore(temp.path)).close();
      await writeFile(temp.file('weir', 'clean'), text);
      const opened = await openTestStore(temp.path);
      expect(opened.wasClean).toBe(false);
      await opened.close();
    }
  });
});
