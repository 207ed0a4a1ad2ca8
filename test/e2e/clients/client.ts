/** What the matrix asks of a client, and the hashing that every client's storage is checked with. */
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Artifact, ArtifactKind } from '../content/seed.ts';
import type { ProgramName } from '../programs.ts';
import type { Tools } from '../tools.ts';
import type { Upstream } from '../upstreams.ts';
import type { Workspace } from '../workspace.ts';

/** Where a client pulls from: weir, on behalf of one upstream. */
export interface Site {
  readonly tools: Tools;
  readonly workspace: Workspace;
  /** weir's `host:port`. */
  readonly weir: string;
  /** The registry as the client names it. */
  readonly upstream: Pick<Upstream, 'name' | 'host'>;
  /** What `weir setup` wrote for this client, with this directory for `/`; empty for one that has nothing to be told. */
  readonly settings: string;
}

export interface Pulled {
  /** The digests by which the client knows what it got; the root of the artifact must be among them. */
  readonly digests: readonly string[];
  /** Blobs found in the client's storage, each hashed by us; undefined when it keeps only unpacked layers. */
  readonly blobs?: readonly string[];
  /** What a container of the image printed. */
  readonly said?: string;
}

export type By = 'tag' | 'digest';

export interface Session {
  /** Pulls into empty storage: what an earlier pull left behind is gone, and the client itself says so. */
  pull(artifact: Artifact, by: By): Promise<Pulled>;
  /** Ends whatever belongs to the session. */
  close(): Promise<void>;
}

export interface Client {
  readonly name: string;
  /** What it needs to be there; the first one's version is the client's. */
  readonly programs: readonly [ProgramName, ...ProgramName[]];
  /** What `weir setup` calls it. */
  readonly setup?: string;
  /** Upstreams that it is played against; all of them when absent. */
  readonly upstreams?: readonly string[];
  readonly kinds: readonly ArtifactKind[];
  /** Whether it brings every platform of an index, or its own alone. */
  readonly platforms: 'all' | 'amd64';
  /** What of an artifact is in its storage afterwards; everything when absent. */
  readonly keeps?: 'last blob';
  /** Whether it can only ask for Docker Hub's names, which weir's `docker.io` then answers. */
  readonly isDockerHubOnly?: true;
  open(site: Site): Promise<Session>;
}

export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return `sha256:${hash.digest('hex')}`;
}

/** Hashes every file that is named by its digest; throws when one is not what its name says, or when there is none. */
export async function hashBlobs(directory: string): Promise<readonly string[]> {
  const digests: string[] = [];
  for (const name of readdirSync(directory).filter((entry) => /^[0-9a-f]{64}$/.test(entry))) {
    const digest = await hashFile(join(directory, name));
    if (digest !== `sha256:${name}`) throw new Error(`${name} in the client's storage hashes to ${digest}`);
    digests.push(digest);
  }
  if (digests.length === 0) throw new Error(`nothing in the client's storage (${directory})`);
  return digests;
}

/** `repository:tag` or `repository@digest`. */
export function referenceOf({ repository, tag, direct }: Artifact, by: By): string {
  return by === 'tag' ? `${repository}:${tag}` : `${repository}@${direct.root}`;
}
