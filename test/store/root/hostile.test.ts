import {
  chmod,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { silentLogger } from '../../../src/lib/log.ts';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { layoutMarker } from '../../../src/oci/layout.ts';
import { openStoreForReading } from '../../../src/store/open.ts';
import { storePaths } from '../../../src/store/files/paths.ts';
import { lockRoot } from '../../../src/store/root/lock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { rejects } from '../contract.ts';
import { content, dumpTree, frozenClock, openTestStore, tagKey } from '../support/harness.ts';

const directories = ['weir', 'blobs', 'blobs/sha256', 'blobs/sha512', 'weir/ingest', 'weir/quarantine'];
const files = [
  'oci-layout',
  'index.json',
  'weir/version',
  'weir/clean',
  'weir/lock',
  'weir/index.before-weir.json',
  'weir/catalog.db',
  'weir/catalog.db-wal',
  'weir/catalog.db-shm',
  'weir/catalog.db-journal',
];

describe('a hostile or torn root', () => {
  it.each([...directories, ...files])(
    'with a link at %s is refused, and what the link leads to stays',
    async (name) => {
      await using temp = await tempDirectory('hostile');
      await using victim = await tempDirectory('victim');
      await (await openTestStore(temp.path)).close();
      const isDirectory = directories.includes(name);
      const target = victim.file('target');
      if (isDirectory) await mkdir(target);
      const precious = isDirectory ? victim.file('target', `sha256-${'0'.repeat(64)}.0123456789ab.json`) : target;
      await writeFile(precious, 'irreplaceable');
      await rm(temp.file(name), { recursive: true, force: true });
      await symlink(target, temp.file(name));
      const before = await dumpTree(victim.path);

      const error = await rejects(openTestStore(temp.path), 'layout');
      expect(error.message).toContain(`${temp.file(name)} is a symbolic link`);
      expect(error.message).toContain('remove the link');
      const reading = openStoreForReading({ root: temp.path, clock: frozenClock(), logger: silentLogger });
      await rejects(reading, 'layout');
      expect(await dumpTree(victim.path)).toBe(before);
      expect(await readFile(precious, 'utf8')).toBe('irreplaceable');
    },
  );

  it('that is a mere image layout is looked at as closely', async () => {
    await using temp = await tempDirectory('hostile');
    await using victim = await tempDirectory('victim');
    await writeFile(temp.file('oci-layout'), layoutMarker);
    await mkdir(temp.file('weir'));
    await symlink(victim.path, temp.file('weir', 'ingest'));
    await rejects(openTestStore(temp.path), 'layout');
    expect(await readdir(temp.file('weir'))).toEqual(['ingest']);
  });

  it('with a file where a directory belongs is refused with a word about what to do', async () => {
    await using temp = await tempDirectory('hostile');
    await (await openTestStore(temp.path)).close();
    await rm(temp.file('weir', 'ingest'), { recursive: true });
    await writeFile(temp.file('weir', 'ingest'), 'x');
    const error = await rejects(openTestStore(temp.path), 'layout');
    expect(error.message).toContain('is not a directory; move it away');
  });

  it('whose path leads over a link is fine, and stays where it was when the link is turned', async () => {
    await using temp = await tempDirectory('hostile');
    await mkdir(temp.file('one'));
    await mkdir(temp.file('two'));
    await symlink(temp.file('one'), temp.file('root'));
    await using opened = await openTestStore(temp.file('root'));
    await rm(temp.file('root'));
    await symlink(temp.file('two'), temp.file('root'));
    const { bytes, digest } = content();
    expect((await opened.store.put(digest, bytes)).path).toContain(temp.file('one'));
    expect(await readdir(temp.file('two'))).toEqual([]);
    await opened.recovered;
  });

  it('loses no file of somebody else, whatever its name ends in', async () => {
    await using temp = await tempDirectory('hostile');
    await (await openTestStore(temp.path)).close();
    const foreign = ['thesis.tmp', 'index.json.tmp', 'weir/notes.tmp', 'weir/catalog.db.bad-news'];
    for (const name of foreign) await writeFile(temp.file(name), 'irreplaceable');
    await writeFile(temp.file('weir', 'catalog.db'), 'garbage that is set aside by now');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    for (const name of foreign) expect(await readFile(temp.file(name), 'utf8'), name).toBe('irreplaceable');
  });

  it('empties no lock file that has another name', async () => {
    await using temp = await tempDirectory('hostile');
    const paths = storePaths(temp.path);
    await mkdir(dirname(paths.lock));
    await writeFile(temp.file('passwd'), 'root:x:0:0');
    await link(temp.file('passwd'), paths.lock);
    expect(() => lockRoot(paths)).toThrow(/has other names; remove it/);
    expect(await readFile(temp.file('passwd'), 'utf8')).toBe('root:x:0:0');
  });

  it('writes into no catalog that has another name: a backup made of hard links stays as it was', async () => {
    await using temp = await tempDirectory('hostile');
    const first = await openTestStore(temp.path);
    await first.close();
    await link(temp.file('weir', 'catalog.db'), temp.file('weir', 'backup'));
    await copyFile(temp.file('weir', 'backup'), temp.file('weir', 'before'));
    const second = await openTestStore(temp.path);
    const { digest } = content();
    const record = { digest, mediaType: 'a/b', sizeBytes: 1, checkedAtMs: 1, isDenied: false };
    second.metadata.tags.put(tagKey('a', 'v1'), record);
    await second.close();
    expect(await readFile(temp.file('weir', 'backup'))).toEqual(await readFile(temp.file('weir', 'before')));
    await using third = await openTestStore(temp.path);
    expect(third.metadata.tags.get(tagKey('a', 'v1'))).toMatchObject({ digest });
    await third.recovered;
  });

  it('is put back where its directories are taken away while weir runs, but not through a link', async () => {
    await using temp = await tempDirectory('hostile');
    await using victim = await tempDirectory('victim');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    await rm(temp.file('blobs'), { recursive: true });
    const [one, two] = [content(), content()];
    await opened.store.put(one.digest, one.bytes);
    await rename(temp.file('blobs'), temp.file('elsewhere'));
    await symlink(victim.path, temp.file('blobs'));
    await rejects(opened.store.put(two.digest, two.bytes), 'layout');
    expect(await readdir(victim.path)).toEqual([]);
    await rm(temp.file('blobs'));
  });
});

describe('what others may read', () => {
  it('is the layout and what the blobs’ mode says: names of repositories are in nobody else’s files', async () => {
    await using temp = await tempDirectory('modes');
    const opened = await openTestStore(temp.path);
    await opened.recovered;
    const modeOf = async (name: string): Promise<string> => ((await stat(temp.file(name))).mode & 0o777).toString(8);
    for (const name of ['weir', 'weir/ingest', 'weir/quarantine']) expect(await modeOf(name), name).toBe('700');
    for (const name of ['catalog.db', 'catalog.db-wal', 'catalog.db-shm', 'lock']) {
      expect(await modeOf(`weir/${name}`), name).toBe('600');
    }
    await opened.close();
    expect(await modeOf('index.json')).toBe('640');
  });

  it('is taken back from others where an older weir or a copy was generous, and the group keeps its part', async () => {
    await using temp = await tempDirectory('modes');
    await (await openTestStore(temp.path)).close();
    await chmod(temp.file('weir'), 0o2775);
    await chmod(temp.file('weir', 'catalog.db'), 0o644);
    await using opened = await openTestStore(temp.path);
    expect((await stat(temp.file('weir'))).mode & 0o7777).toBe(0o2770);
    expect((await stat(temp.file('weir', 'catalog.db'))).mode & 0o777).toBe(0o640);
    await opened.recovered;
  });
});
