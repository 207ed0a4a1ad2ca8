/** What the configuration says in its own words, in the words of the rooms that need it. */
import { isIPv4 } from 'node:net';
import type { Config, ListenAddress } from './config/config.ts';
import { readText } from './config/files.ts';
import type { SizeOrPercent } from './config/units.ts';

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

/** Bytes that stay free, by the size of the file system. */
export function minFreeBytes(minFree: SizeOrPercent): (totalBytes: number) => number {
  if (minFree.kind === 'bytes') return () => minFree.bytes;
  return (totalBytes) => Math.ceil((totalBytes * minFree.percent) / 100);
}

/** Whether only this machine can reach a listener there. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** Descriptors for everything that is not a client's connection. */
const reservedDescriptors = 512;

/** Half of what this process may have open: a client may cost an upstream connection or a file beside its own. */
export function maxConnections(): number | undefined {
  const report: unknown = process.report.getReport();
  const limits = report as { readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } } };
  const soft = Number(limits.userLimits?.open_files?.soft);
  return soft > 2 * reservedDescriptors ? Math.floor((soft - reservedDescriptors) / 2) : undefined;
}
