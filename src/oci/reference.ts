/**
 * Repository names, tags and references (OCI distribution-spec, "Pulling manifests").
 *
 * The specification has no capitals in names. Registries that many use have them (Hugging Face, Ollama's), and clients
 * send them as they are; so they pass, and names that differ in case are different names.
 *
 * Both expressions are linear in the length of their input: a separator never matches what a component matches.
 */
import { type Digest, parseDigest } from './digest.ts';

declare const repositoryBrand: unique symbol;
declare const tagBrand: unique symbol;

/** The name of a repository inside one registry, e.g. `library/alpine`. */
export type Repository = string & { readonly [repositoryBrand]: true };
export type Tag = string & { readonly [tagBrand]: true };

export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest };

/** Docker's limit, which every client and registry keeps. */
export const maxNameLength = 255;

const repositoryPattern =
  /^[A-Za-z0-9]+(?:(?:\.|__?|-+)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:\.|__?|-+)[A-Za-z0-9]+)*)*$/;
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function parseRepository(text: string): Repository | undefined {
  return isRepository(text) ? text : undefined;
}

export function parseTag(text: string): Tag | undefined {
  return isTag(text) ? text : undefined;
}

/** A tag or a digest. What holds a colon is meant as a digest: tags never do. */
export function parseReference(text: string): Reference | undefined {
  if (text.includes(':')) {
    const digest = parseDigest(text);
    return digest === undefined ? undefined : { kind: 'digest', digest };
  }
  const tag = parseTag(text);
  return tag === undefined ? undefined : { kind: 'tag', tag };
}

/** The reference as it stands in a URL path and in messages. */
export function referenceText(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}

function isRepository(text: string): text is Repository {
  return text.length <= maxNameLength && repositoryPattern.test(text);
}

function isTag(text: string): text is Tag {
  return tagPattern.test(text);
}

declare const pathNameBrand: unique symbol;

/**
 * The name in a request path before routing: a repository name, or one whose first segment is still `host:port`.
 * `:` is illegal in repository names, but clients that address an upstream by path write it; routing decides.
 */
export type PathName = string & { readonly [pathNameBrand]: true };

const port = /^([^/:]+):[0-9]{1,5}\//;

export function parsePathName(text: string): PathName | undefined {
  return isPathName(text) ? text : undefined;
}

function isPathName(text: string): text is PathName {
  return text.length <= maxNameLength && parseRepository(text.replace(port, '$1/')) !== undefined;
}
