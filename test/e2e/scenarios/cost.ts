/** What pulls may cost, read off the upstream's own access log. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Pulled } from '../clients/client.ts';
import type { Artifact } from '../content/seed.ts';
import { CheckError } from '../report.ts';
import {
  blobTransfers,
  contentTransfers,
  describeRequest,
  manifestTransfers,
  type LoggedRequest,
} from '../request-log.ts';
import type { Upstream } from '../upstreams.ts';

/** From this size on a blob may come in several ranges, as long as each byte comes once. */
const severalRangesBytes = 64 * 1024 * 1024;
/**
 * Of such a blob, what may be sent and not used: a transfer that is broken off because another one has its bytes leaves
 * what was in the buffers of its connection, up to 10 MB in the kernel's alone. Of 1 GiB 0.7 % were seen on a busy machine,
 * and 2.2 % on one with six times as much to do as it could.
 */
const lostShare = 0.05;

/** The blobs a client must have asked for. */
function neededBlobs({ direct }: Artifact, client: Client): readonly string[] {
  return client.platforms === 'all' ? [...direct.blobs.keys()] : direct.amd64;
}

/**
 * After a cold pull each blob has been transferred from the upstream exactly once since weir started: once, not once
 * per artifact, because artifacts share layers. A line of the log may come a moment after the answer.
 */
export async function coldCost(
  log: () => readonly LoggedRequest[],
  artifact: Artifact,
  client: Client,
  _pulled: Pulled,
): Promise<void> {
  const deadline = Date.now() + 5_000;
  const needed = artifact.kind === 'referrers' ? [] : neededBlobs(artifact, client);
  for (;;) {
    const requests = log();
    const absent = needed.filter((digest) => blobTransfers(requests, digest).count === 0);
    if (absent.length === 0) break;
    if (Date.now() > deadline) throw new CheckError(`the upstream never sent ${absent.join(' ')}`);
    await sleep(25);
  }
  onceEach(log(), [artifact]);
}

/** No blob and no manifest was transferred more than once, and in bytes once: exactly, but for what large blobs may lose. */
export function onceEach(requests: readonly LoggedRequest[], artifacts: readonly Artifact[]): void {
  const wrong: string[] = [];
  for (const { name, repository, tag, direct } of artifacts) {
    for (const [digest, size] of direct.blobs) {
      const { count, sizeBytes } = blobTransfers(requests, digest);
      if (count > 1 && size < severalRangesBytes) wrong.push(`${name}: ${count} GETs of blob ${digest}`);
      const most = size < severalRangesBytes ? size : size * (1 + lostShare);
      if (count > 0 && sizeBytes !== undefined && (sizeBytes < size || sizeBytes > most)) {
        wrong.push(`${name}: ${sizeBytes} bytes were sent of blob ${digest}, which has ${size}`);
      }
    }
    for (const digest of direct.manifests) {
      const names = digest === direct.root ? [digest, tag] : [digest];
      const { count } = manifestTransfers(requests, repository, names);
      if (count > 1) wrong.push(`${name}: ${count} GETs of manifest ${digest}`);
    }
  }
  if (wrong.length > 0) throw new CheckError(wrong.join('\n'));
}

/**
 * A warm pull moves no content. Where tags stay fresh for an hour it costs nothing at all; elsewhere a tag may be
 * revalidated by HEAD. Lists of referrers have a short freshness of their own and are only kept from moving blobs.
 */
export function noContent(requests: readonly LoggedRequest[], { ttl }: Upstream, { kind }: Artifact): void {
  const isList = ({ target }: LoggedRequest): boolean => /\/referrers\/|\/manifests\/sha256-/.test(target);
  const counted = kind === 'referrers' ? requests.filter((request) => !isList(request)) : requests;
  const moved = ttl === '1h' ? counted : contentTransfers(counted);
  if (moved.length > 0)
    throw new CheckError(`upstream requests of a warm pull: ${moved.map(describeRequest).join(', ')}`);
}
