/** The version of this weir, from its package.json. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The manifest lies two levels above both src/config/ and dist/config/. */
export function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : undefined;
  if (typeof version !== 'string') throw new TypeError('package.json has no version');
  return version;
}
