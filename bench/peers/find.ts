/** Which peers there are on this machine, and which are missing. */
import { run } from '../../test/e2e/process.ts';
import { onPath } from '../../test/e2e/install/cache.ts';
import { debianVersion } from '../../test/e2e/install/debian.ts';
import { prepareProgram } from '../../test/e2e/tools.ts';
import { angosPeer } from './angos.ts';
import { distributionPeer } from './distribution.ts';
import { nginxPeer } from './nginx.ts';
import { direct, type Peer } from './peer.ts';
import { buildWeir, weirPeer } from './weir.ts';
import { zotPeer } from './zot.ts';

/** All that a full run compares, in the order of the tables. */
export const peerNames = ['weir', 'nginx', 'dist3', 'dist2', 'zot', 'angos', 'direct'] as const;
type PeerName = (typeof peerNames)[number];

export interface Peers {
  readonly present: readonly Peer[];
  /** Name and what would bring it. */
  readonly missing: readonly string[];
}

interface Finding {
  readonly peer?: Peer;
  readonly missing?: string;
}

type Progress = (line: string) => void;

const finders: Readonly<Record<PeerName, (progress: Progress) => Promise<Finding>>> = {
  async weir(progress) {
    progress('compiling weir …');
    return { peer: await weirPeer('weir', await buildWeir()) };
  },
  async nginx() {
    const { stderr } = await run('nginx', ['-v']);
    return { peer: nginxPeer(/nginx\/(\S+)/.exec(stderr)?.[1] ?? '') };
  },
  async dist3(progress) {
    try {
      const { path, version } = await prepareProgram('distribution3', progress);
      return { peer: distributionPeer('dist3', 'distribution 3', version.slice(1), path) };
    } catch (error) {
      return { missing: `distribution 3 (${error instanceof Error ? error.message : String(error)})` };
    }
  },
  async dist2() {
    const path = onPath('docker-registry');
    if (path === undefined) return { missing: 'distribution 2.8 (Debian package docker-registry)' };
    const version = (await debianVersion('docker-registry')) ?? '';
    return { peer: distributionPeer('dist2', 'distribution 2.8', version.split('+')[0] ?? '', path) };
  },
  async zot() {
    const path = onPath('zot');
    return path === undefined ? { missing: 'zot (not on the PATH)' } : { peer: await zotPeer(path) };
  },
  async angos() {
    const path = onPath('angos');
    return path === undefined ? { missing: 'Angos (not on the PATH)' } : { peer: angosPeer(path) };
  },
  direct: () => Promise.resolve({ peer: direct }),
};

/** `only` empty: all. `others` are further builds of weir, as `name=path`. */
export async function findPeers(
  only: readonly string[],
  others: readonly (readonly [name: string, program: string])[],
  progress: Progress,
): Promise<Peers> {
  const present: Peer[] = [];
  const missing: string[] = [];
  for (const name of peerNames) {
    if (only.length > 0 && !only.includes(name)) continue;
    const found = await finders[name](progress);
    if (found.peer !== undefined) present.push(found.peer);
    if (found.missing !== undefined) missing.push(found.missing);
    if (name === 'weir') for (const [other, program] of others) present.push(await weirPeer(other, program));
  }
  for (const one of missing) progress(`missing: ${one}`);
  return { present, missing };
}
