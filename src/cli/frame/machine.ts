/** What the checks ask of the machine; tests give them another one. */
import { type Clock, systemClock } from '../../lib/clock.ts';
import { openFileLimit } from '../../lib/files/limit.ts';
import { type FileSystem, fileSystemOf, probeRoot, type RootReport } from '../../store/try-root.ts';

export interface Machine {
  readonly clock: Clock;
  readonly platform: NodeJS.Platform;
  readonly nodeVersion: string;
  /** Of this process; undefined where there are no users. */
  readonly uid: number | undefined;
  /** Undefined: none, or unknown. */
  readonly openFiles: () => number | undefined;
  /** As `probeRoot` of the store. */
  readonly probeRoot: (root: string, clock: Clock) => Promise<RootReport>;
  readonly fileSystem: (path: string) => Promise<FileSystem>;
}

export const thisMachine: Machine = {
  clock: systemClock,
  platform: process.platform,
  nodeVersion: process.versions.node,
  uid: process.geteuid?.(),
  openFiles: openFileLimit,
  probeRoot,
  fileSystem: fileSystemOf,
};
