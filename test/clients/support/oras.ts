/**
 * oras-go's client (v2.7.0, registry/remote), on which notation, falcoctl and `oras` itself are built.
 */
import { expect } from 'vitest';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import type { Answer, ClientOptions, ReplayClient } from './client.ts';
import { blobsOf, type Described, describedBy, expectWhole, parse } from './descriptor.ts';

/** auth/client.go `DefaultClient`. */
export const oras: ClientOptions = { userAgent: 'oras-go' };

/** manifest.go `defaultManifestMediaTypes`. */
const accept = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.ociArtifact,
].join(', ');

/** repository.go `manifestStore.Resolve`: HEAD, whose headers must describe the manifest. */
export async function resolve(client: ReplayClient, repository: string, reference: string): Promise<Described> {
  return describedBy(await client.head(`/v2/${repository}/manifests/${reference}`, { Accept: accept }));
}

/** repository.go `manifestStore.FetchReference`: GET by tag, which copy.go `resolveRoot` prefers to a HEAD. */
export async function fetchReference(
  client: ReplayClient,
  repository: string,
  reference: string,
): Promise<Described & { readonly bytes: Buffer }> {
  const answer = await client.get(`/v2/${repository}/manifests/${reference}`, { Accept: accept });
  const known = describedBy(answer);
  return { ...known, bytes: expectWhole(answer, known) };
}

/** repository.go `manifestStore.Fetch`: type, length and digest must be those of the descriptor. */
export async function fetchManifest(client: ReplayClient, repository: string, wanted: Described): Promise<Buffer> {
  const answer = await client.get(`/v2/${repository}/manifests/${wanted.digest}`, { Accept: wanted.mediaType });
  const { mediaType, digest, size } = wanted;
  expect(describedBy(answer)).toEqual({ mediaType, digest, size });
  return expectWhole(answer, wanted);
}

/** repository.go `blobStore.Fetch`: no Accept; length and digest checked; seekable when `Accept-Ranges: bytes`. */
export async function fetchBlob(client: ReplayClient, repository: string, wanted: Described): Promise<Buffer> {
  const answer = await client.get(`/v2/${repository}/blobs/${wanted.digest}`);
  expect(answer.headers['docker-content-digest']).toBe(wanted.digest);
  expect(answer.headers['accept-ranges']).toBe('bytes');
  return expectWhole(answer, wanted);
}

/** repository.go `blobStore.Resolve`. */
export async function resolveBlob(client: ReplayClient, repository: string, digest: string): Promise<number> {
  const answer = await client.head(`/v2/${repository}/blobs/${digest}`);
  expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, digest]);
  return Number(answer.headers['content-length']);
}

/** repository.go `Referrers`: the type must be exact, or the tag schema is used instead; the filter may be anybody's. */
export async function referrers(
  client: ReplayClient,
  repository: string,
  digest: string,
  artifactType: string,
): Promise<readonly (Described & { readonly artifactType?: string })[]> {
  const query = new URLSearchParams({ artifactType }).toString();
  const answer: Answer = await client.get(`/v2/${repository}/referrers/${digest}?${query}`);
  expect([answer.status, answer.headers['content-type']]).toEqual([200, mediaTypes.ociIndex]);
  const { manifests = [] } = parse(answer.body);
  return (manifests as (Described & { readonly artifactType?: string })[]).filter(
    (one) => one.artifactType === artifactType,
  );
}

/** copy.go `Copy`: the root by its tag, then its config and layers. Answers the layers' bytes. */
export async function pullArtifact(client: ReplayClient, repository: string, tag: string): Promise<readonly Buffer[]> {
  const root = await fetchReference(client, repository, tag);
  const bytes: Buffer[] = [];
  for (const wanted of blobsOf(root.bytes)) bytes.push(await fetchBlob(client, repository, wanted));
  return bytes;
}
