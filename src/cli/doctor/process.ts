/** What this process may do: the version of Node, and how many files it may have open. */
import { connectionsFor } from '../../lib/files/limit.ts';
import { type Finding, Findings } from './finding.ts';
import type { Machine } from '../frame/machine.ts';

/** package.json's engines. */
const oldestNode = 24;
/** Below this, weir cannot even limit its connections (lib/files/limit.ts). */
const fewestFiles = 1024;
const enoughFiles = 8192;

export function checkProcess({ nodeVersion, openFiles }: Machine): readonly Finding[] {
  const found = new Findings('process');
  const [major = 0] = nodeVersion.split('.').map(Number);
  if (major < oldestNode) {
    found.fail('node', `Node ${nodeVersion}`, `install Node ${oldestNode} or newer: https://nodejs.org`);
  } else found.ok('node', `Node ${nodeVersion}`);
  checkFiles(openFiles(), found);
  return found.list;
}

function checkFiles(limit: number | undefined, found: Findings): void {
  const advice = 'raise it for the user of weir: ulimit -n 65536, LimitNOFILE=65536, or --ulimit nofile=65536';
  const clients = connectionsFor(limit);
  if (limit === undefined) found.ok('openFiles', 'no limit on open files');
  else if (limit < fewestFiles) found.fail('openFiles', `only ${limit} files may be open`, advice);
  else if (limit < enoughFiles) {
    const few = clients === undefined ? 'a few hundred' : String(clients);
    found.warn('openFiles', `${limit} files may be open: enough for ${few} clients at once`, advice);
  } else found.ok('openFiles', `${limit} files may be open: enough for ${clients ?? 'any number of'} clients at once`);
}
