/**
 * What one request at an upstream is about, as far as blame goes: a failure says something about its question first, and
 * about more than that only when others fail as well.
 */
import { type Reference, referenceText, type Repository } from '../../oci/reference.ts';

/** What a registry may be sick in while it is well in the others. */
export type Kind = 'manifests' | 'blobs' | 'lists' | 'referrers' | 'tokens';

/** `nobody`: without any credential. */
export type Asker = 'nobody' | 'credential';

/** Who is behind a question. */
export interface Behind {
  /** Address of the client that asked first; undefined where weir asks by itself. */
  readonly client?: string | undefined;
  /** False for what was begun for nobody: it never waits, and its failure is held against nothing. Default true. */
  readonly isAwaited?: boolean | undefined;
}

export interface Question extends Behind {
  readonly kind: Kind;
  readonly method: 'GET' | 'HEAD';
  readonly repository: Repository;
  /** The reference, digest or page asked for. */
  readonly subject: string;
  readonly asker: Asker;
}

/** Two requests with the same key ask the same. */
export function questionKey({ kind, method, repository, subject, asker }: Question): string {
  return JSON.stringify([kind, method, repository, subject, asker]);
}

/** The name of the scope of its repository and kind. */
export function repositoryAndKind({ kind, repository }: Question): string {
  return `${kind} ${repository}`;
}

/** What a limit of the upstream is about: registries count GET and HEAD of manifests apart. */
export function limitKey({ kind, method, asker }: Question): string {
  return kind === 'manifests' ? `${kind} ${method} ${asker}` : `${kind} ${asker}`;
}

export function manifestQuestion(
  method: 'GET' | 'HEAD',
  repository: Repository,
  reference: Reference,
  asker: Asker,
  behind: Behind = {},
): Question {
  return { kind: 'manifests', method, repository, subject: referenceText(reference), asker, ...behind };
}
