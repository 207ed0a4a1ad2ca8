/** File systems for one test each: small ones in memory, and an ext4 whose power can be cut. Needs the superuser. */
import { execFileSync } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempDirectory } from '../../support/temp.ts';

export interface SmallDisk extends AsyncDisposable {
  path(...names: readonly string[]): string;
}

/** In memory; `sizeBytes` is rounded to pages. */
export async function smallDisk(sizeBytes: number): Promise<SmallDisk> {
  const temp = await tempDirectory('disk');
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'weir-test', temp.path]);
  return {
    path: (...names) => join(temp.path, ...names),
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['--lazy', temp.path]);
      await temp[Symbol.asyncDispose]();
    },
  };
}

/** Makes a directory of any file system read-only for as long as the result is not disposed. */
export function frozen(directory: string): Disposable {
  execFileSync('mount', ['--bind', directory, directory]);
  execFileSync('mount', ['-o', 'remount,bind,ro', directory]);
  return { [Symbol.dispose]: () => void execFileSync('umount', ['--lazy', directory]) };
}

/** What an ext4 does with its journal when the power goes (EXT4_IOC_SHUTDOWN). */
export type PowerCut = 'flush all' | 'flush the journal' | 'flush nothing';

const shutdownFlags: Readonly<Record<PowerCut, number>> = {
  'flush all': 0,
  'flush the journal': 1,
  'flush nothing': 2,
};

/** Perl is on every Debian; node has no ioctl. 0x8004587d is _IOR('X', 125, uint32). */
const shutdownProgram = `
  use Fcntl;
  sysopen(my $directory, $ARGV[0], O_RDONLY) or die "open: $!";
  defined(ioctl($directory, 0x8004587d, pack("L", $ARGV[1]))) or die "ioctl: $!";
`;

export interface PowerDisk extends AsyncDisposable {
  readonly path: string;
  /** From now on nothing reaches the disk, and what had not reached it is lost. */
  cutPower(how: PowerCut): void;
  /** After `cutPower`, when nobody has a file open any more. */
  powerOn(): void;
}

export async function powerDisk(sizeMebibytes: number): Promise<PowerDisk> {
  const temp = await tempDirectory('power');
  const image = temp.file('image');
  const path = temp.file('mount');
  await writeFile(image, '');
  await truncate(image, sizeMebibytes * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', image]);
  execFileSync('mkdir', [path]);
  // Ten minutes between the file system's own commits: only what was synced survives.
  const mount = (): void => void execFileSync('mount', ['-o', 'loop,commit=600', image, path]);
  mount();
  return {
    path,
    cutPower: (how) => void execFileSync('perl', ['-e', shutdownProgram, path, String(shutdownFlags[how])]),
    powerOn: () => {
      execFileSync('umount', [path]);
      mount();
    },
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['--lazy', path]);
      await temp[Symbol.asyncDispose]();
    },
  };
}
