/** Asking the upstream what a tag points to now: by HEAD where that is enough, and what the answer links. */
import { isManifestType } from '../../oci/media-type.ts';
import type { TagKey } from '../../store/contract/metadata.ts';
import { provedBy } from '../../upstream/public-upstream.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import type { ManifestQuery } from '../contract/cache.ts';
import type { Binding, TagBindings } from './tag-bindings.ts';
import { type Content, contentOf } from './answer.ts';
import type { ManifestFetch } from './fetch.ts';
import type { ManifestStore } from './store.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { isNotFound } from '../../upstream/contract/errors.ts';

export interface ResolveParts {
  readonly manifestStore: ManifestStore;
  readonly fetch: ManifestFetch;
  readonly bindings: TagBindings;
}

/** What the upstream said about a tag, with the bytes if they had to be fetched. */
export interface Told {
  readonly binding: Binding;
  readonly content: Content | undefined;
}

/** `binding`: what was known before. Rejects with UpstreamError, and with CacheError for bytes that are not right. */
export async function askTag(
  { bindings, manifestStore, fetch, rights, metadata }: ResolveParts & Pick<PolicyDeps, 'rights' | 'metadata'>,
  { key, method }: { readonly key: TagKey; readonly method: ManifestQuery['method'] },
  upstream: Upstream,
  binding: Binding | undefined,
  signal: AbortSignal,
): Promise<Told> {
  // Before the question is sent: what changes while it travels is not covered by the answer.
  const asked = bindings.now();
  const byTag = async (): Promise<Told> => {
    const { manifest, isStored } = await fetch.byTag(upstream, key, key.tag, signal);
    const content = contentOf(manifest, isStored);
    return { binding: bindings.confirm(key, content.record, asked), content };
  };
  if (binding === undefined && method === 'get') return byTag();
  const reference = { kind: 'tag', tag: key.tag } as const;
  const head = await upstream.headManifest(key.repository, reference, signal);
  const { digest, mediaType = '', sizeBytes } = head;
  if (digest === undefined) return byTag();
  // Asked through this repository, the upstream has named it: that is the word that a link needs.
  if (provedBy(head, reference) !== undefined) rights.said(key, digest, 'manifest', head);
  const isSame = digest === binding?.digest;
  const isGood = rights.isLinked(key, digest, 'manifest');
  if (isSame && method === 'head' && (isGood || !binding.isRecorded))
    return { binding: bindings.confirm(key, binding, asked, head.shown), content: undefined };
  const here = isGood ? await manifestStore.stat(digest) : undefined;
  if (here !== undefined) {
    const type = metadata.links.get(key, digest, 'manifest')?.mediaType ?? here.mediaType;
    return { binding: bindings.confirm(key, { ...here, mediaType: type }, asked, head.shown), content: undefined };
  }
  const isNew = binding === undefined || !binding.isRecorded;
  if (isNew && method === 'head' && isManifestType(mediaType) && sizeBytes !== undefined) {
    const record = { digest, mediaType, sizeBytes };
    fetch.unstored(key, record, head.shown);
    return { binding: bindings.confirm(key, record, asked, head.shown), content: undefined };
  }
  try {
    const { manifest, isStored } = await fetch.byDigest(upstream, key, digest, signal);
    const content = contentOf(manifest, isStored);
    return { binding: bindings.confirm(key, content.record, asked), content };
  } catch (error) {
    // It has moved on in between, or this registry knows tags only.
    if (isNotFound(error)) return byTag();
    throw error;
  }
}
