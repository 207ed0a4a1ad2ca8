/** HEAD of a manifest, for upstreams of every kind. */
import type { Reference, Repository } from '../oci/reference.ts';
import { UpstreamError } from '../upstream/errors.ts';
import type { ManifestHead, Upstream } from '../upstream/upstream.ts';

const noSuchMethod: ReadonlySet<number> = new Set([405, 501]);

/** Undefined where the upstream has no HEAD for manifests (405, 501): then only GET tells. */
export async function headManifest(
  upstream: Upstream,
  repository: Repository,
  reference: Reference,
  signal: AbortSignal,
): Promise<ManifestHead | undefined> {
  try {
    return await upstream.headManifest(repository, reference, signal);
  } catch (error) {
    const isRefused = error instanceof UpstreamError && noSuchMethod.has(error.status ?? 0);
    if (isRefused) return undefined;
    throw error;
  }
}
