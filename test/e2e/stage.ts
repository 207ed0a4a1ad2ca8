/** What every scenario plays on: programs, a workspace, seeded upstreams, and weir started afresh. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hashBlobs } from './clients/client.ts';
import type { Artifact, Content } from './content/seed.ts';
import { CheckError, type Report } from './report.ts';
import type { Tools } from './tools.ts';
import type { Upstream } from './upstreams.ts';
import { Weir, type UpstreamEntry } from './weir.ts';
import type { Workspace } from './workspace.ts';

/** An upstream together with what was pushed to it. */
export interface Seeded {
  readonly upstream: Upstream;
  readonly content: Content;
  readonly artifacts: readonly Artifact[];
}

export interface Stage {
  readonly tools: Tools;
  /** Versions by program, for the rows of the matrix. */
  readonly versions: ReadonlyMap<string, string>;
  readonly workspace: Workspace;
  readonly report: Report;
  readonly seeded: readonly Seeded[];
  /** weir's entry point below the repository. */
  readonly entry: string;
  /** Certificate and key of every weir; plain HTTP without. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** Brings a stopped upstream back with the content it had. */
export async function revive({ upstream, content }: Seeded): Promise<void> {
  if (upstream.isRunning) return;
  await upstream.start();
  if (!upstream.isPersistent) await content.push(upstream);
}

/**
 * Starts weir on an empty root, plays, stops it, and checks what it leaves behind: a clean exit, no ingest, and under
 * `blobs/` nothing but what hashes to its name. A failed start is one failed check.
 */
export async function withWeir(
  stage: Stage,
  name: string,
  dockerHub: UpstreamEntry,
  play: (weir: Weir) => Promise<void>,
  afterwards: (weir: Weir) => Promise<void> = async () => {},
): Promise<void> {
  const { report, workspace, entry, seeded, tls } = stage;
  const directory = workspace.directory('weir');
  const started: Weir[] = [];
  const upstreams = seeded.map(({ upstream }) => upstream);
  await report.check(`${name}: weir starts`, async () => {
    started.push(await Weir.start({ entry, directory, upstreams, dockerHub, tls }));
  });
  for (const weir of started) {
    try {
      await play(weir);
    } finally {
      const mark = weir.mark();
      await report.check(
        `${name}: weir stops and leaves a sound store`,
        async () => leavesSoundStore(weir),
        () => weir.loggedSince(mark),
      );
      await afterwards(weir);
    }
  }
  workspace.remove(directory);
}

async function leavesSoundStore(weir: Weir): Promise<string> {
  const end = await weir.stop();
  if (end !== 'exit code 0') throw new CheckError(`weir ended with ${end}`);
  const ingest = join(weir.root, 'weir', 'ingest');
  const left = existsSync(ingest) ? readdirSync(ingest) : [];
  if (left.length > 0) throw new CheckError(`left in ${ingest}: ${left.join(' ')}`);
  const blobs = await hashBlobs(join(weir.root, 'blobs', 'sha256'));
  return `${blobs.length} blobs`;
}
