/**
 * A registry where repositories lie below another name: the project of a proxy cache, for instance. Whatever is asked there
 * (paths, tokens, next pages) is about the longer name; nothing above this room knows of it.
 */
import { parseRepository, type Repository } from '../../oci/reference.ts';
import { failure } from '../contract/failure.ts';

/** What `repository` is called there. Throws `notFound` where that would be no name: it is too long. */
export function below(prefix: string | undefined, repository: Repository, upstream: string): Repository {
  if (prefix === undefined) return repository;
  const name = parseRepository(`${prefix}/${repository}`);
  if (name === undefined) throw failure('notFound', upstream, `no repository below ${prefix} can have that name`);
  return name;
}
