/**
 * What the file system under a root can and cannot do, tried at each start: a commit moves a file from `weir/ingest` to
 * `blobs/`, so both have to be on one; what else is missing is worked around, and said once.
 */
import { link, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../lib/log.ts';
import { digestOf } from '../../oci/digest.ts';
import { StoreError } from '../contract/blob-store.ts';
import { errorCode, hasCode } from '../../lib/system-error.ts';
import { blobAlgorithms, blobDirectory, newPartName, partPath, sideName, type StorePaths } from '../files/paths.ts';
import { removeName } from './tree.ts';

/** Never made: what would have it does not exist. */
const probeName = '.weir-probe';

/** Codes of a file system that has no hard links. */
export const noLinkCodes = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES'] as const;

/** Rejects with StoreError `layout` when blobs cannot be moved to their place, else with the system's error. */
export async function refuseOtherDevices(paths: StorePaths): Promise<void> {
  const dev = await deviceOf(paths.ingest);
  for (const algorithm of blobAlgorithms) {
    const directory = blobDirectory(paths, algorithm);
    const other = await deviceOf(directory);
    // One that is missing will be made beside the others.
    if (dev === undefined || other === undefined) continue;
    const on = `on another device (${deviceText(other)}) than ${paths.ingest} (${deviceText(dev)})`;
    if (dev !== other) throw apart(directory, on);
    if (await isOtherMount(paths, directory))
      throw apart(directory, `mounted apart from ${paths.ingest} (both of device ${deviceText(dev)})`);
  }
}

/**
 * A device can be mounted twice (a bind mount, two volumes of one disk), and nothing is moved between two mounts. Linux
 * says so before it looks for the file, so one that does not exist is enough, and nothing is written.
 */
async function isOtherMount(paths: StorePaths, directory: string): Promise<boolean> {
  try {
    await rename(partPath(paths, newPartName(digestOf(''))), join(directory, probeName));
    return false;
  } catch (error) {
    return hasCode(error, 'EXDEV');
  }
}

function apart(directory: string, how: string): StoreError {
  return new StoreError(
    'layout',
    `${directory} is ${how}, and a blob is moved from one to the other in a single step; ` +
      'mount one volume at the cache root itself (cache.root)',
  );
}

/** Never rejects: whatever keeps this from being tried is met, and said, by the first blob. */
export async function tellWhatIsMissing(paths: StorePaths, logger: Logger): Promise<void> {
  const name = newPartName(digestOf(''));
  const [part, other] = [partPath(paths, name), partPath(paths, sideName(name))];
  try {
    {
      await using file = await open(part, 'wx', 0o600);
      await told('chmod', file.chmod(0o444), 'stored files keep the mode that the file system gives them', logger);
    }
    await told('hard links', link(part, other), 'blobs are moved to their place instead', logger);
    await removeName(other);
    await removeName(part);
  } catch (error) {
    logger.debug({ err: error }, 'what the file system can do could not be tried');
  }
}

async function told(what: string, attempt: Promise<void>, instead: string, logger: Logger): Promise<void> {
  try {
    await attempt;
  } catch (error) {
    logger.warn({ missing: what, code: errorCode(error) }, `the file system has no ${what}: ${instead}`);
  }
}

async function deviceOf(directory: string): Promise<number | undefined> {
  try {
    return (await stat(directory)).dev;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** As `/proc/self/mountinfo` and `lsblk` write it. */
function deviceText(device: number): string {
  const major = ((device >> 8) & 0xfff) | 0;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  return `${major}:${minor}`;
}
