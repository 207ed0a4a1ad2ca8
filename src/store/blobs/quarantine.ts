/** Where bad objects go: moved aside as evidence, each with its reason, and bounded, because a sick disk makes many. */
import { lstat, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import { hasCode } from '../../lib/system-error.ts';
import { blobPath, quarantinePath, type StorePaths } from '../files/paths.ts';
import { allocatedBytesOf } from '../files/regular-file.ts';

const mostObjects = 16;
const mostBytes = 1024 ** 3;
const reasonSuffix = '.reason';

interface Held {
  readonly path: string;
  readonly allocatedBytes: number;
  readonly changedAtMs: number;
}

export class Quarantine {
  readonly #paths: StorePaths;
  #allocatedBytes = 0;

  constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  /** As of the last `take` or `measure`. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Moves the object away from its digest's name. Rejects with the system's error. */
  async take(digest: Digest, reason: string, nowMs: number): Promise<void> {
    const path = quarantinePath(this.#paths, digest, nowMs);
    await rename(blobPath(this.#paths, digest), path);
    // wx: nothing that was planted there is written through.
    await writeFile(`${path}${reasonSuffix}`, `${digest}: ${reason}\n`, { flag: 'wx', mode: 0o600 });
    await this.#trim();
  }

  async measure(): Promise<void> {
    this.#allocatedBytes = (await this.#held()).reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
  }

  /** The newest object always stays; older ones go until count and size are within bounds. */
  async #trim(): Promise<void> {
    const held = (await this.#held()).toSorted((one, other) => other.changedAtMs - one.changedAtMs);
    let bytes = 0;
    for (const [index, { path, allocatedBytes }] of held.entries()) {
      if (index > 0 && (index >= mostObjects || bytes + allocatedBytes > mostBytes)) {
        await rm(path, { recursive: true, force: true });
        await rm(`${path}${reasonSuffix}`, { force: true });
      } else bytes += allocatedBytes;
    }
    this.#allocatedBytes = bytes;
  }

  async #held(): Promise<readonly Held[]> {
    const names = (await readdir(this.#paths.quarantine)).filter((name) => !name.endsWith(reasonSuffix));
    const held = await Promise.all(names.map((name) => measured(join(this.#paths.quarantine, name))));
    return held.flat();
  }
}

/** Nothing for an object that another trim has removed meanwhile. */
async function measured(path: string): Promise<readonly Held[]> {
  try {
    const stats = await lstat(path);
    return [{ path, allocatedBytes: allocatedBytesOf(stats), changedAtMs: stats.ctimeMs }];
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}
