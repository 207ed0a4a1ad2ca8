/** How a cached tag is called in index.json: `docker.io/library/alpine:3.20`; and a repository, without the tag. */
import { parseRepository, parseTag } from '../../oci/reference.ts';
import type { RepositoryKey, TagKey } from '../contract/metadata.ts';

/** A key of configuration: a host name, with or without a port, or a word. */
const upstreamKey = /^[A-Za-z0-9](?:[A-Za-z0-9._:[\]-]{0,253}[A-Za-z0-9\]])?$/;

export function refName({ upstream, repository, tag }: TagKey): string {
  return `${upstream}/${repository}:${tag}`;
}

export function repositoryName({ upstream, repository }: RepositoryKey): string {
  return `${upstream}/${repository}`;
}

export function parseRepositoryName(text: string): RepositoryKey | undefined {
  const slash = text.indexOf('/');
  const upstream = text.slice(0, slash);
  const repository = parseRepository(text.slice(slash + 1));
  return slash === -1 || !upstreamKey.test(upstream) || repository === undefined ? undefined : { upstream, repository };
}

/** Undefined for names that weir would not write; other programs write bare tags here. */
export function parseRefName(text: string): TagKey | undefined {
  const slash = text.indexOf('/');
  const colon = text.lastIndexOf(':');
  if (slash === -1 || colon < slash) return undefined;
  const upstream = text.slice(0, slash);
  const repository = parseRepository(text.slice(slash + 1, colon));
  const tag = parseTag(text.slice(colon + 1));
  if (!upstreamKey.test(upstream) || repository === undefined || tag === undefined) return undefined;
  return { upstream, repository, tag };
}
