/** What the configuration says in its own words, in the words of the rooms that need it. */
import type { Config } from '../config/values/config.ts';
import { readText } from '../config/read/files.ts';
import { formatSize, minFreeBytes } from '../config/values/units.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobStore } from '../store/contract/blob-store.ts';
import { connectionsFor, openFileLimit } from '../lib/files/limit.ts';

/** Something that stands in the way of a start and that the operator can change. */
export class StartError extends Error {
  readonly kind = 'start';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartError';
  }
}

export interface ListenerSecrets {
  /** PEM texts. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly adminToken: string | undefined;
}

/** Reads the files that the listeners need. Throws StartError. */
export function readSecrets({ tls, admin }: Config): ListenerSecrets {
  const read = (key: string, path: string): string => {
    const found = readText(path);
    if ('problem' in found) throw new StartError(`${key}: ${path}: ${found.problem}`);
    return found.text;
  };
  const adminToken = admin.tokenFile === undefined ? undefined : read('admin.tokenFile', admin.tokenFile).trim();
  if (adminToken === '') throw new StartError(`admin.tokenFile: ${admin.tokenFile ?? ''} is empty`);
  return {
    tls: tls === undefined ? undefined : { cert: read('tls.cert', tls.certFile), key: read('tls.key', tls.keyFile) },
    adminToken,
  };
}

/** Half of what this process may have open: a client may cost an upstream connection or a file beside its own. */
export function maxConnections(): number | undefined {
  return connectionsFor(openFileLimit());
}

/** A floor is no reason not to start: a smaller disk than before must not stop pulls. */
export async function warnOfFloor(
  { cache }: Pick<Config, 'cache'>,
  store: Pick<BlobStore, 'freeSpace'>,
  logger: Logger,
): Promise<void> {
  const { totalBytes } = await store.freeSpace();
  const floorBytes = minFreeBytes(cache.minFree)(totalBytes);
  if (floorBytes < totalBytes) return;
  const fields = { minFree: formatSize(floorBytes), fileSystem: formatSize(totalBytes) };
  logger.warn(fields, 'cache.minFree is as much as the whole file system: nothing is stored; write less, like 5%');
}
