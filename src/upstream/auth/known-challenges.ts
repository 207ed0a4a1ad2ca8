/** What registries have said about how they want to be asked, so that most requests need no challenge of their own. */
import type { Repository } from '../../oci/reference.ts';
import type { ChosenChallenge } from '../../headers/www-authenticate.ts';
import { lruOf } from '../../lib/lru.ts';
import { challengeScopes } from './scope.ts';

export type KnownChallenge =
  | { readonly kind: 'basic' }
  | {
      readonly kind: 'bearer';
      /** As the registry wrote it: not judged. */
      readonly realm: string;
      readonly service: string | undefined;
      /** Scopes that the registry asked for; scope.ts decides which of them count. */
      readonly hints: readonly string[];
    };

const maxEntries = 2000;
const maxHints = 16;

/**
 * A repository's own challenge comes first, then the latest of its registry: most have one token server for all, some
 * (behind a path-based proxy) have several.
 */
export class AuthMemory {
  readonly #known = lruOf<string, KnownChallenge>(maxEntries);

  get(registry: URL, repository: Repository): KnownChallenge | undefined {
    return this.#known.get(keyOf(registry, repository)) ?? this.#known.get(keyOf(registry));
  }

  /** For a challenge to a request without authorization: only that one is the registry's own word about its realm. */
  learn(registry: URL, repository: Repository, challenge: ChosenChallenge): KnownChallenge {
    const known: KnownChallenge =
      challenge.kind === 'basic'
        ? challenge
        : {
            kind: 'bearer',
            realm: challenge.realm,
            service: challenge.service,
            hints: challengeScopes(challenge.scope),
          };
    this.#store(registry, repository, known);
    return known;
  }

  /** For a challenge to a request with a token: what it asks for is heard, where it points to is not. */
  addHints(registry: URL, repository: Repository, hints: readonly string[]): void {
    const known = this.get(registry, repository);
    if (known?.kind !== 'bearer') return;
    const merged = [...new Set([...known.hints, ...hints])].slice(-maxHints);
    this.#store(registry, repository, { ...known, hints: merged });
  }

  #store(registry: URL, repository: Repository, known: KnownChallenge): void {
    this.#known.set(keyOf(registry, repository), known);
    this.#known.set(keyOf(registry), known);
  }
}

function keyOf(registry: URL, repository?: Repository): string {
  return JSON.stringify([registry.origin, registry.pathname, repository ?? null]);
}

/** It would be the same token server. */
export function isSamePlace(a: KnownChallenge, b: ChosenChallenge | KnownChallenge): boolean {
  if (a.kind !== 'bearer' || b.kind !== 'bearer') return a.kind === b.kind;
  return a.realm === b.realm && a.service === b.service;
}
