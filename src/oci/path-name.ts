/**
 * The name in a request path before routing: a repository name, or one whose first segment is still `host:port`.
 * `:` is illegal in repository names, but clients that address an upstream by path write it; routing decides.
 */
import { maxNameLength, parseRepository } from './reference.ts';

declare const pathNameBrand: unique symbol;

export type PathName = string & { readonly [pathNameBrand]: true };

const port = /^([^/:]+):[0-9]{1,5}\//;

export function parsePathName(text: string): PathName | undefined {
  return isPathName(text) ? text : undefined;
}

function isPathName(text: string): text is PathName {
  return text.length <= maxNameLength && parseRepository(text.replace(port, '$1/')) !== undefined;
}
