/** The cache root: is it weir's, can it be written, does the file system keep its promises, is there room. */
import type { Config } from '../../config/values/config.ts';
import { minFreeBytes } from '../../config/values/units.ts';
import type { FileSystem, RootReport } from '../../store/try-root.ts';
import { type Finding, Findings, sizeText } from './finding.ts';
import type { Machine } from '../frame/machine.ts';

/** statfs(2), `f_type`, and what is to be said about it. */
const fileSystems: ReadonlyMap<number, { readonly name: string; readonly doubt?: 'network' | 'layer' | 'memory' }> =
  new Map([
    [0xef53, { name: 'ext4' }],
    [0x58465342, { name: 'XFS' }],
    [0x9123683e, { name: 'Btrfs' }],
    [0x2fc12fc1, { name: 'ZFS' }],
    [0x6969, { name: 'NFS', doubt: 'network' }],
    [0xff534d42, { name: 'CIFS', doubt: 'network' }],
    [0xfe534d42, { name: 'SMB', doubt: 'network' }],
    [0x517b, { name: 'SMB', doubt: 'network' }],
    [0x01021997, { name: '9p', doubt: 'network' }],
    [0x00c36400, { name: 'CephFS', doubt: 'network' }],
    [0x65735546, { name: 'FUSE', doubt: 'network' }],
    [0x47504653, { name: 'GPFS', doubt: 'network' }],
    [0x0bd00bd0, { name: 'Lustre', doubt: 'network' }],
    [0x794c7630, { name: 'overlay', doubt: 'layer' }],
    [0x01021994, { name: 'tmpfs', doubt: 'memory' }],
    [0x858458f6, { name: 'ramfs', doubt: 'memory' }],
  ]);

const littleRoomBytes = 1024 ** 3;

export async function checkRoot({ cache }: Config, machine: Machine): Promise<readonly Finding[]> {
  const found = new Findings('cache.root');
  let report: RootReport;
  try {
    report = await machine.probeRoot(cache.root, machine.clock);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    found.fail('directory', `${cache.root} cannot be looked at: ${reason}`, 'let the user of weir read the way there');
    return found.list;
  }
  if (report.state.kind === 'refused') {
    found.fail('directory', report.state.reason, 'name an empty directory as cache.root, or one that does not exist');
    return found.list;
  }
  checkWriting(cache.root, report, machine, found);
  const fileSystem = await machine.fileSystem(report.place);
  if (machine.platform === 'linux') checkType(fileSystem, found);
  checkSpace(cache, report.storedBytes, fileSystem, found);
  return found.list;
}

function checkWriting(root: string, report: RootReport, { uid }: Machine, found: Findings): void {
  const { place, owner, failure, isCaseSensitive, state } = report;
  const where = place === root || state.kind === 'ours' ? place : `${place}, where ${root} would be made,`;
  if (failure !== undefined) {
    const isRight = failure.code === 'EACCES' || failure.code === 'EPERM';
    found.fail(
      'directory',
      `${where} belongs to user ${owner}; user ${uid ?? '?'} cannot ${failure.step}: ${failure.code}`,
      isRight && (failure.step === 'write to it' || failure.step === 'read it')
        ? `run weir as user ${owner}, or: chown -R ${uid ?? 'USER'} ${place}`
        : 'use a local file system like ext4 or XFS that is mounted for writing',
    );
    return;
  }
  if (uid !== undefined && owner !== uid && place === root) {
    found.warn(
      'directory',
      `${root} belongs to user ${owner}, and this is user ${uid}`,
      'run weir as its owner, and weir doctor too: what another user writes there may be closed to weir',
    );
  } else {
    const made = state.kind === 'ours' ? 'is a weir cache' : 'will be made';
    found.ok('directory', `${root} ${made}; writing, fsync, links and locks work there`);
  }
  if (report.lacks.length > 0)
    found.warn(
      'missing',
      `the file system has no ${report.lacks.join(' and no ')}; weir does without`,
      'prefer a local file system like ext4 or XFS',
    );
  if (isCaseSensitive === false)
    found.warn(
      'case',
      'the file system does not tell upper case from lower case',
      'nothing of weir needs it, but other tools that read the layout may: prefer one that does',
    );
}

function checkType({ type }: FileSystem, found: Findings): void {
  const known = fileSystems.get(type >>> 0) ?? { name: `0x${(type >>> 0).toString(16)}` };
  switch ('doubt' in known ? known.doubt : undefined) {
    case 'network':
      found.warn(
        'fileSystem',
        `${known.name}: often slow, and its locks and fsync are as good as its server`,
        'prefer a local disk; a cache can be lost, and one root must never serve two weirs',
      );
      return;
    case 'layer':
      found.warn(
        'fileSystem',
        `${known.name}: the layer of a container, which goes with it`,
        'mount a volume there: -v weir:/var/lib/weir',
      );
      return;
    case 'memory':
      found.warn(
        'fileSystem',
        `${known.name}: in memory, gone after a restart`,
        'use a disk, unless that is what you want',
      );
      return;
    case undefined:
      found.ok('fileSystem', known.name);
  }
}

function checkSpace(cache: Config['cache'], storedBytes: number | undefined, fs: FileSystem, found: Findings): void {
  const floorBytes = minFreeBytes(cache.minFree)(fs.totalBytes);
  // What is stored there may be evicted. Where that is unknown, only a disk that is too small as a whole is a fault.
  const ownBytes = storedBytes ?? fs.totalBytes - fs.freeBytes;
  const roomBytes = Math.max(0, fs.freeBytes + ownBytes - floorBytes);
  const facts = `${sizeText(fs.freeBytes)} of ${sizeText(fs.totalBytes)} are free`;
  const newBytes = fs.freeBytes - floorBytes;
  if (newBytes <= 0) {
    found.fail(
      'disk',
      `${facts}, and cache.minFree keeps ${sizeText(floorBytes)} of them: nothing new is stored`,
      'free some space, lower cache.minFree, or move cache.root to a larger disk',
    );
  } else if (roomBytes < cache.maxSizeBytes) {
    const level = `${facts}: room for ${sizeText(roomBytes)}, and cache.maxSize is ${sizeText(cache.maxSizeBytes)}`;
    const advice =
      roomBytes < littleRoomBytes
        ? 'move cache.root to a larger disk: large images will not be kept'
        : `nothing breaks, weir evicts earlier; set cache.maxSize to ${Math.floor(roomBytes / littleRoomBytes)}GiB or less`;
    found.warn('disk', level, advice);
  } else found.ok('disk', `${facts}: room for cache.maxSize, ${sizeText(cache.maxSizeBytes)}`);
}
