/**
 * What a token is asked for: `type:name:action[,action]` (distribution's docs/content/spec/auth/scope.md).
 *
 * weir computes the scope of each request itself. The scope in a challenge counts only as far as it cannot speak about
 * another repository, in whatever spelling: GHCR's `/v2/` names the placeholder `repository:user/image:pull` whatever was
 * asked for, while ECR Public insists on a scope of its own, `aws`.
 */
import type { Repository } from '../../oci/reference.ts';

export interface Scope {
  /** `repository`, `registry`, or with a class: `repository(plugin)`. */
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

const maxScopes = 8;
const maxLength = 512;
const visible = /^[\x21-\x7e]+$/;
/** Perhaps with a class. A token server may take `Repository` for another spelling, and with our credential. */
const repositoryType = /^repository(?:\([a-z0-9]+\))?$/;
/** weir only reads. GHCR denies an anonymous client that asks for more, and a token should not be able to do more. */
const writingActions: ReadonlySet<string> = new Set(['push', 'delete', '*']);

/** Undefined for what is not of three parts. A name may hold a colon (`host:5000/a`): split at the first and the last. */
export function parseScope(text: string): Scope | undefined {
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  if (first <= 0 || last <= first + 1) return undefined;
  const actions = text
    .slice(last + 1)
    .split(',')
    .filter((action) => action !== '');
  return { type: text.slice(0, first), name: text.slice(first + 1, last), actions };
}

export function scopeText({ type, name, actions }: Scope): string {
  return `${type}:${name}:${actions.join(',')}`;
}

/** The items of a challenge's scope parameter: at most 8, without what could not stand in a request. */
export function challengeScopes(parameter: string | undefined): readonly string[] {
  const items = (parameter ?? '').slice(0, maxScopes * maxLength).split(/\s+/);
  return items.filter((item) => item.length <= maxLength && visible.test(item)).slice(0, maxScopes);
}

/**
 * What to ask a token server for, in order to read `repository`: sorted, without duplicates, `repository:<name>:pull`
 * always among it. Of the registry's own `hints` count those about the same repository, and words that are no scopes.
 */
export function wantedScopes(repository: Repository, hints: readonly string[]): readonly string[] {
  const actionsByType = new Map([['repository', new Set(['pull'])]]);
  const others = new Set<string>();
  for (const hint of hints) {
    if (!hint.includes(':')) {
      if (hint !== 'repository' && hint !== 'registry') others.add(hint);
      continue;
    }
    const scope = parseScope(hint);
    if (scope?.name !== repository || !repositoryType.test(scope.type)) continue;
    const { type } = scope;
    const actions = actionsByType.get(type) ?? new Set(['pull']);
    for (const action of scope.actions) if (!writingActions.has(action)) actions.add(action);
    actionsByType.set(type, actions);
  }
  for (const [type, actions] of actionsByType) {
    others.add(scopeText({ type, name: repository, actions: [...actions].toSorted() }));
  }
  return [...others].toSorted();
}
