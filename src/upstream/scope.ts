/**
 * What a token is asked for: `type:name:action[,action]` (distribution's docs/content/spec/auth/scope.md).
 *
 * weir computes the scope of each request itself. The challenge's own scope is evidence about the registry at best:
 * GHCR's `/v2/` names the placeholder `repository:user/image:pull` whatever was asked for.
 */
import type { Repository } from '../oci/reference.ts';

export interface Scope {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** The scope of every read in one repository. Never more: GHCR denies an anonymous client that asks for `pull,push`. */
export function pullScope(repository: Repository): Scope {
  return { type: 'repository', name: repository, actions: ['pull'] };
}
