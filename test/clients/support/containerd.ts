/**
 * containerd's resolver and fetcher (containerd v2.4.2, core/remotes/docker), which BuildKit, nerdctl, kind, k3s, Docker's
 * containerd store, Docker Model Runner and Compose are built on.
 */
import { expect } from 'vitest';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import type { ClientOptions, Headers, ReplayClient } from './client.ts';
import { blobsOf, type Described, describedBy, expectWhole, parse } from './descriptor.ts';

/** resolver.go `request`: "containerd/" and its version, unless a program sets its own. */
export const containerd: ClientOptions = { userAgent: 'containerd/2.4.2+unknown' };

export interface ContainerdHost {
  readonly client: ReplayClient;
  /** A host's path: config/hosts.go ends it with `/v2`, BuildKit begins it with that. Default `/v2`. */
  readonly path?: string;
  /**
   * resolver.go `addNamespace` and registry.go `isProxy`: the reference's host, whenever the configured one differs. Absent
   * where weir is in the reference itself.
   */
  readonly ns?: string;
}

/** resolver.go `NewResolver`: the Accept of a resolution. */
const resolveAccept = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  '*/*',
].join(', ');
/** fetcher.go `open`. */
const acceptEncoding = 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5';
/** resolver.go `MaxManifestSize`. */
const maxManifestSize = 4 * 1048 * 1048;

export function targetOf(
  { path = '/v2', ns }: ContainerdHost,
  repository: string,
  kind: string,
  reference: string,
): string {
  // url.Values.Encode escapes the colon of a host with a port.
  return `${path}/${repository}/${kind}/${reference}${ns === undefined ? '' : `?ns=${encodeURIComponent(ns)}`}`;
}

/** resolver.go `Resolve` of a tag: HEAD, and from its headers alone a descriptor; a GET would follow without them. */
export async function resolveTag(host: ContainerdHost, repository: string, tag: string): Promise<Described> {
  const answer = await host.client.head(targetOf(host, repository, 'manifests', tag), { Accept: resolveAccept });
  const described = describedBy(answer);
  expect(described.size).toBeLessThanOrEqual(maxManifestSize);
  return described;
}

/** resolver.go `Resolve` of a digest: HEAD of the manifest, and after a 404 (only) HEAD of the blob. */
export async function resolveDigest(host: ContainerdHost, repository: string, digest: string): Promise<string> {
  for (const kind of ['manifests', 'blobs']) {
    const answer = await host.client.head(targetOf(host, repository, kind, digest), { Accept: resolveAccept });
    if (answer.status === 404) continue;
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, digest]);
    return kind;
  }
  return 'none';
}

/** fetcher.go `open`. */
export function fetchHeaders(mediaType: string, offset = 0): Headers {
  return {
    Accept: `${mediaType}, */*`,
    'Accept-Encoding': acceptEncoding,
    ...(offset > 0 ? { Range: `bytes=${offset}-` } : {}),
  };
}

/** fetcher.go `Fetch`: manifests by their own route, everything else as a blob. */
export async function fetchContent(host: ContainerdHost, repository: string, wanted: Described): Promise<Buffer> {
  const isManifest = /manifest|index/.test(wanted.mediaType);
  const target = targetOf(host, repository, isManifest ? 'manifests' : 'blobs', wanted.digest);
  const answer = await host.client.get(target, fetchHeaders(wanted.mediaType));
  if (isManifest) expect(answer.headers['content-type']).toBe(wanted.mediaType);
  return expectWhole(answer, wanted);
}

/**
 * client/pull.go `fetch`: resolve, then what it names from the top down; the blobs of one manifest at once (CRI's
 * `max_concurrent_downloads` is 3).
 */
export async function pullImage(
  host: ContainerdHost,
  repository: string,
  tag: string,
  wants: (child: Described) => boolean = ({ platform }) => platform?.architecture === 'amd64',
): Promise<readonly string[]> {
  const root = await resolveTag(host, repository, tag);
  const digests: string[] = [root.digest];
  const walk = async (manifest: Described): Promise<void> => {
    const bytes = await fetchContent(host, repository, manifest);
    for (const child of (parse(bytes).manifests ?? []).filter(wants)) {
      digests.push(child.digest);
      await walk(child);
    }
    const blobs = blobsOf(bytes);
    await Promise.all(blobs.map((blob) => fetchContent(host, repository, blob)));
    digests.push(...blobs.map(({ digest }) => digest));
  };
  await walk(root);
  return digests;
}
