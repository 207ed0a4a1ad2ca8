/** Text keys for maps. A space separates: no upstream key, name, tag or digest holds one. */
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryKey, TagKey } from './metadata.ts';

export function repositoryText(key: RepositoryKey): string {
  return `${key.upstream} ${key.repository}`;
}

export function tagText(key: TagKey): string {
  return `${key.upstream} ${key.repository} ${key.tag}`;
}

export function contentText(key: RepositoryKey, digest: Digest): string {
  return `${key.upstream} ${key.repository} ${digest}`;
}
