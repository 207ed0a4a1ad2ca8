/** The suite runs the published program, so it is built before the first test. */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

export function setup(): void {
  // Each of the two groups asks for it; what runs already must not be written anew.
  if (process.env['FAULTS_BUILT'] === '1') return;
  process.env['FAULTS_BUILT'] = '1';
  const root = resolve(import.meta.dirname, '..', '..', '..');
  execFileSync(process.execPath, [resolve(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
}
