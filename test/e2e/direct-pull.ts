/**
 * The yardstick: everything below a tag, fetched from the upstream itself by a client of a few lines, each byte hashed.
 * What comes through weir is compared with this.
 */
import { createHash } from 'node:crypto';
import type { Upstream } from './upstreams.ts';

const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

interface Child {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string };
}

interface ManifestDocument {
  readonly config?: Child;
  readonly layers?: readonly Child[];
  readonly manifests?: readonly Child[];
}

export interface DirectPull {
  /** Digest of the manifest or index that the tag names. */
  readonly root: string;
  /** Every manifest below it, itself included. */
  readonly manifests: readonly string[];
  /** Size of every blob below it, by digest. */
  readonly blobs: ReadonlyMap<string, number>;
  /** The blobs that a client of linux/amd64 needs; all of them unless it is an index. */
  readonly amd64: readonly string[];
}

/** Pulls by tag; throws when a body does not hash to its name or has another size than its descriptor says. */
export async function directPull(upstream: Upstream, repository: string, tag: string): Promise<DirectPull> {
  const base = `http://${upstream.host}/v2/${repository}`;
  const manifests: string[] = [];
  const blobs = new Map<string, number>();

  const manifest = async (reference: string): Promise<ManifestDocument> => {
    const response = await fetch(`${base}/manifests/${reference}`, { headers: { accept: manifestTypes.join(', ') } });
    const bytes = Buffer.from(await response.arrayBuffer());
    if (!response.ok)
      throw new Error(`${upstream.name}/${repository}:${reference}: ${response.status} ${bytes.toString()}`);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (reference.includes(':') && reference !== digest) throw new Error(`${reference} hashes to ${digest}`);
    manifests.push(digest);
    return JSON.parse(bytes.toString()) as ManifestDocument;
  };

  const blob = async ({ digest, size }: Child): Promise<string> => {
    if (blobs.has(digest)) return digest;
    const response = await fetch(`${base}/blobs/${digest}`);
    if (!response.ok || response.body === null) throw new Error(`${base}/blobs/${digest}: ${response.status}`);
    const hash = createHash('sha256');
    let received = 0;
    for await (const chunk of response.body) {
      hash.update(chunk);
      received += chunk.length;
    }
    if (`sha256:${hash.digest('hex')}` !== digest || received !== size) throw new Error(`${digest}: wrong bytes`);
    blobs.set(digest, size);
    return digest;
  };

  const image = async ({ config, layers = [] }: ManifestDocument): Promise<readonly string[]> => {
    const digests: string[] = [];
    for (const child of [...(config === undefined ? [] : [config]), ...layers]) digests.push(await blob(child));
    return digests;
  };

  const top = await manifest(tag);
  const root = manifests[0] ?? '';
  let amd64 = await image(top);
  for (const child of top.manifests ?? []) {
    const digests = await image(await manifest(child.digest));
    if (child.platform?.architecture === 'amd64') amd64 = digests;
  }
  return { root, manifests, blobs, amd64 };
}
