/**
 * go-containerregistry's client (v0.22.1, pkg/v1/remote), on which Flux, Kaniko, Tekton and k3s's wharfie are built; crane
 * and cosign, too, which run for real in the end-to-end suite.
 */
import { connect } from 'node:tls';
import { expect } from 'vitest';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { patienceMs, within } from '../../support/gate.ts';
import type { ClientOptions, Headers, ReplayClient } from './client.ts';
import { blobsOf, type Described, describedBy, expectWhole, parse } from './descriptor.ts';

export const ggcr: ClientOptions = { userAgent: 'go-containerregistry/v0.22.1' };

/** descriptor.go `allManifestMediaTypes`; fetcher.go joins them with a comma and no space. */
const accept = [
  mediaTypes.dockerUnsigned,
  mediaTypes.dockerSigned,
  mediaTypes.dockerManifest,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.ociIndex,
].join(',');

export interface GgcrHost {
  readonly client: ReplayClient;
  /** Added to every request, as wharfie's transport does. */
  readonly query?: string;
}

/**
 * transport/ping.go: `GET /v2/`, https and, for hosts that may be insecure, http; 200 means that nobody has to log in. A
 * TLS handshake on the port that speaks http has to fail at once.
 */
export async function ping({ client, query = '' }: GgcrHost): Promise<void> {
  await refusesTls(client.origin);
  const answer = await client.get(`/v2/${query}`);
  expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
}

export async function refusesTls(origin: string): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(origin).port), rejectUnauthorized: false });
  const failed = new Promise<void>((resolve, reject) => {
    socket.once('error', () => resolve());
    socket.once('close', () => resolve());
    socket.once('secureConnect', () => reject(new Error('the port speaks TLS')));
  });
  await within(patienceMs, failed, () => 'the end of a TLS handshake on a plain port').finally(() => socket.destroy());
}

/** fetcher.go `headManifest`: an error unless type, length and digest are there. */
export async function head(host: GgcrHost, repository: string, reference: string): Promise<Described> {
  const answer = await host.client.head(target(host, repository, 'manifests', reference), { Accept: accept });
  return describedBy(answer);
}

/** fetcher.go `fetchManifest`; index.go `childDescriptor` accepts the type of the descriptor alone. */
export async function manifest(
  host: GgcrHost,
  repository: string,
  reference: string,
  wanted?: Described,
): Promise<Described & { readonly bytes: Buffer }> {
  const headers: Headers = { Accept: wanted?.mediaType ?? accept };
  const answer = await host.client.get(target(host, repository, 'manifests', reference), headers);
  const known = describedBy(answer);
  expectWhole(answer, wanted ?? known);
  if (reference.includes(':')) expect(answer.sha256).toBe(reference);
  return { ...known, bytes: answer.body };
}

/** fetcher.go `fetchBlobURL`: the length must be the descriptor's; internal/verify hashes the rest. */
export async function blobBytes(host: GgcrHost, repository: string, wanted: Described): Promise<Buffer> {
  return expectWhole(await host.client.get(target(host, repository, 'blobs', wanted.digest)), wanted);
}

/** image.go `Image` with everything in it: an index is followed to the wanted platform. */
export async function pullImage(host: GgcrHost, repository: string, tag: string): Promise<void> {
  await ping(host);
  let found = await manifest(host, repository, tag);
  const child = parse(found.bytes).manifests?.find(({ platform }) => platform?.architecture === 'amd64');
  if (child !== undefined) found = await manifest(host, repository, child.digest, child);
  for (const wanted of blobsOf(found.bytes)) await blobBytes(host, repository, wanted);
}

function target({ query = '' }: GgcrHost, repository: string, kind: string, reference: string): string {
  return `/v2/${repository}/${kind}/${reference}${query}`;
}
