import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { sizeText } from '../../../src/cli/doctor/finding.ts';
import { type Machine, thisMachine } from '../../../src/cli/frame/machine.ts';
import { checkProcess } from '../../../src/cli/doctor/process.ts';
import { checkRoot } from '../../../src/cli/doctor/root.ts';
import type { Config } from '../../../src/config/values/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { openStore } from '../../../src/store/open.ts';
import { tempDirectory } from '../../support/temp.ts';
import { verdicts } from '../doctor/support.ts';

const gib = 1024 ** 3;
const ext4 = { type: 0xef53, totalBytes: 1000 * gib, freeBytes: 500 * gib };

function machineWith(change: Partial<Machine>): Machine {
  return { ...thisMachine, platform: 'linux', fileSystem: () => Promise.resolve(ext4), ...change };
}

function configOf(root: string, cache: object = {}): Config {
  const env = { WEIR_CACHE_ROOT: root, ...cache };
  const loaded = loadConfig({ env, cwd: '/' });
  if (loaded.kind === 'problems') throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

describe('weir doctor, of the process', () => {
  it.each([
    [256, 'fail', 'only 256 files'],
    [1023, 'fail', 'only 1023 files'],
    [1024, 'warn', 'enough for a few hundred clients'],
    [4096, 'warn', 'enough for 1792 clients'],
    [65_536, 'ok', 'enough for 32512 clients'],
    [undefined, 'ok', 'no limit'],
  ] as const)('%s open files: %s', (limit, level, words) => {
    const found = checkProcess(machineWith({ openFiles: () => limit })).find(({ check }) => check === 'openFiles');
    expect(found).toMatchObject({ level, message: expect.stringContaining(words) });
    if (level !== 'ok') expect(found?.advice).toContain('ulimit -n');
  });

  it('an old Node', () => {
    const [found] = checkProcess(machineWith({ nodeVersion: '22.1.0' }));
    expect(found).toMatchObject({ level: 'fail', check: 'node', advice: expect.stringContaining('24') });
    expect(checkProcess(thisMachine)[0]?.level).toBe('ok');
  });
});

describe('weir doctor, of the cache root', () => {
  it('one that is not there yet: tries the directory above it, and leaves nothing', async () => {
    await using temp = await tempDirectory();
    const findings = await checkRoot(configOf(temp.file('a', 'b')), machineWith({}));
    expect(verdicts({ findings })).toEqual(['directory ok', 'fileSystem ok', 'disk ok']);
    expect(findings[0]?.message).toContain('will be made');
    expect(await readdir(temp.path)).toEqual([]);
  });

  it('one that a weir has open: is not disturbed, and its blobs count as room', async () => {
    await using temp = await tempDirectory();
    const root = temp.file('cache');
    const opened = await openStore({ root, partialTtlMs: 1, clock: systemClock, logger: silentLogger });
    const bytes = Buffer.alloc(1024 * 1024, 7);
    await opened.store.put(digestOf(bytes), bytes);
    await opened.recovered;
    const before = (await readdir(temp.path, { recursive: true })).toSorted();
    const fileSystem = () => Promise.resolve({ type: 0xef53, totalBytes: 200 * gib, freeBytes: 60 * gib - 1000 });
    // 60 GiB less 1000 bytes are free, 10 GiB have to stay: only with what is stored there is room for 50 GiB.
    const findings = await checkRoot(configOf(root), machineWith({ fileSystem }));
    expect(verdicts({ findings })).toEqual(['directory ok', 'fileSystem ok', 'disk ok']);
    expect(findings[0]?.message).toContain('is a weir cache');
    expect((await readdir(temp.path, { recursive: true })).toSorted()).toEqual(before);
    expect(await opened.store.stat(digestOf(bytes))).toBeDefined();
    await opened.close();
  });

  it('one that holds something else: nothing is written there', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('diary.txt'), 'x');
    const findings = await checkRoot(configOf(temp.path), machineWith({}));
    expect(verdicts({ findings })).toEqual(['directory fail']);
    expect(findings[0]?.message).toContain('holds other files');
    expect(await readdir(temp.path)).toEqual(['diary.txt']);
  });

  it('one below a file', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('file'), 'x');
    const findings = await checkRoot(configOf(temp.file('file', 'cache')), machineWith({}));
    expect(findings).toMatchObject([{ level: 'fail', check: 'directory' }]);
  });

  it.skipIf(process.platform !== 'linux')('one that cannot be written', async () => {
    const findings = await checkRoot(configOf('/proc/weir'), machineWith({}));
    expect(findings[0]).toMatchObject({
      level: 'fail',
      check: 'directory',
      message: expect.stringContaining('cannot'),
    });
  });

  // What root may do says nothing about others, and tests may run as root.
  it.each([
    ['write to it', 'EACCES', 'run weir as user 500, or: chown -R 12345 '],
    ['read it', 'EACCES', 'run weir as user 500, or: chown -R 12345 '],
    ['write to it', 'EROFS', 'mounted for writing'],
    ['lock a file', 'SQLITE_IOERR', 'local file system'],
  ])('one where this user cannot %s: %s', async (step, code, advice) => {
    await using temp = await tempDirectory();
    const report = {
      state: { kind: 'ours' },
      place: temp.path,
      owner: 500,
      isCaseSensitive: undefined,
      lacks: [],
    } as const;
    const probeRoot = () => Promise.resolve({ ...report, failure: { step, code }, storedBytes: undefined });
    const findings = await checkRoot(configOf(temp.path), machineWith({ probeRoot, uid: 12_345 }));
    expect(findings[0]).toMatchObject({ level: 'fail', check: 'directory', advice: expect.stringContaining(advice) });
    expect(findings[0]?.message).toContain(`belongs to user 500; user 12345 cannot ${step}: ${code}`);
  });

  it('one where a and A are one file, and files have one name each', async () => {
    await using temp = await tempDirectory();
    const report = { state: { kind: 'new' }, place: temp.path, owner: 1, failure: undefined, storedBytes: 0 } as const;
    const probeRoot = () => Promise.resolve({ ...report, isCaseSensitive: false, lacks: ['hard links'] });
    const findings = await checkRoot(configOf(temp.path), machineWith({ probeRoot, uid: 1 }));
    expect(verdicts({ findings })).toEqual(['directory ok', 'missing warn', 'case warn', 'fileSystem ok', 'disk ok']);
  });

  it('one of another user', async () => {
    await using temp = await tempDirectory();
    await mkdir(temp.file('cache'));
    const findings = await checkRoot(configOf(temp.file('cache')), machineWith({ uid: 12_345 }));
    expect(findings[0]).toMatchObject({ level: 'warn', check: 'directory', message: expect.stringContaining('12345') });
  });

  it.each([
    ['ext4', 0xef53, 'ok'],
    ['XFS', 0x58465342, 'ok'],
    ['NFS', 0x6969, 'warn'],
    ['CIFS', 0xff534d42 | 0, 'warn'],
    ['overlay', 0x794c7630, 'warn'],
    ['tmpfs', 0x01021994, 'warn'],
    ['0x1234', 0x1234, 'ok'],
  ])('on %s', async (name, type, level) => {
    await using temp = await tempDirectory();
    const fileSystem = () => Promise.resolve({ ...ext4, type });
    const findings = await checkRoot(configOf(temp.file('cache')), machineWith({ fileSystem }));
    const found = findings.find(({ check }) => check === 'fileSystem');
    expect(found).toMatchObject({ level, message: expect.stringContaining(name) });
  });

  it.each([
    [4, 'fail', 'nothing new is stored'],
    [5.5, 'warn', 'large images will not be kept'],
    [30, 'warn', 'set cache.maxSize to 25GiB or less'],
    [60, 'ok', ''],
  ])('with %d of 100 GiB free', async (freeGib, level, words) => {
    await using temp = await tempDirectory();
    const fileSystem = () => Promise.resolve({ type: 0xef53, totalBytes: 100 * gib, freeBytes: freeGib * gib });
    const findings = await checkRoot(configOf(temp.file('cache')), machineWith({ fileSystem }));
    const found = findings.find(({ check }) => check === 'disk');
    expect(found?.level).toBe(level);
    expect(`${found?.message} ${found?.advice}`).toContain(words);
  });

  it('sizes are short', () => {
    expect([0, 1023, 1536, 50 * gib, 12.345 * gib].map(sizeText)).toEqual([
      '0 B',
      '1020 B',
      '1.5 KiB',
      '50 GiB',
      '12.3 GiB',
    ]);
  });
});
