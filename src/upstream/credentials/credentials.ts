/** Credentials for registries: what they are and who is asked for them. Sources are in credentials-*.ts. */
import { createHmac, randomBytes } from 'node:crypto';
import type { Repository } from '../../oci/reference.ts';
import type { Secret } from '../../lib/secret.ts';

interface CredentialBase {
  /**
   * Names where the credential comes from (`config`, `file ghcr.io/org`, `helper ecr-login`), never anything secret.
   * Stays the same when the secret rotates; part of the name of the connection pool.
   */
  readonly name: string;
  /** Changes with the user name or the secret, tells nothing about them, and means nothing in another process. */
  readonly identity: string;
}

export type Credential =
  | (CredentialBase & { readonly kind: 'basic'; readonly username: string; readonly password: Secret })
  /** An OAuth2 refresh token, exchanged at the token endpoint. */
  | (CredentialBase & { readonly kind: 'identityToken'; readonly username: string | undefined; readonly token: Secret })
  /** Sent to the registry as it is. */
  | (CredentialBase & { readonly kind: 'registryToken'; readonly token: Secret });

/**
 * Where a credential comes from, as a link remembers it: kind and user name, or the helper. Never the secret, nor anything
 * made of it: a rotated secret is the same place.
 */
export function placeOf(credential: Credential): string {
  const helper = /^helper (\S+)/.exec(credential.name)?.[1];
  if (helper !== undefined) return helperPlace(helper);
  return credential.kind === 'registryToken'
    ? credential.kind
    : `${credential.kind} ${credential.username ?? ''}`.trim();
}

export function helperPlace(name: string): string {
  return `helper ${name}`;
}

/** Stands for a client certificate among the places: it is shown with every request. */
export const certificatePlace = 'certificate';

/** What a credential is wanted for. */
export interface CredentialTarget {
  /** Origin of the registry that answers, not of a token server. */
  readonly registry: URL;
  readonly repository: Repository;
}

/**
 * Answers for the registries it has credentials of and with undefined for every other one: an answer is taken as leave
 * to send the credential to `target.registry`.
 */
export interface CredentialSource {
  /** Undefined: none, use the registry anonymously. Rejects with CredentialError, or with the signal's reason. */
  get(target: CredentialTarget, signal: AbortSignal): Promise<Credential | undefined>;
  /** The registry refused what `get` gave: whatever is remembered for this target is read anew by the next `get`. */
  refused(target: CredentialTarget): void;
  /** False only while `get` would certainly answer undefined for every repository of this registry. Costs nothing. */
  mayAnswer(registry: URL): boolean;
  /** Whether `get` may answer with a credential of this place (`placeOf`), as far as is known without reading anything. */
  isAt(place: string, registry: URL): boolean;
}

/** `unreadable` file · `malformed` file or value · `helperFailed` · `helperTimeout`. Messages name places, never contents. */
export type CredentialErrorKind = 'unreadable' | 'malformed' | 'helperFailed' | 'helperTimeout';

export class CredentialError extends Error {
  readonly kind: CredentialErrorKind;

  constructor(kind: CredentialErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'CredentialError';
    this.kind = kind;
  }
}

/** The system's code (`EACCES`) for messages: its text repeats paths, and a parser's text repeats contents. */
export function errorCodeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
}

const identityKey = randomBytes(32);

/** The `identity` of a credential with these parts. */
export function credentialIdentity(...parts: readonly string[]): string {
  const hmac = createHmac('sha256', identityKey);
  for (const part of parts) hmac.update(`${Buffer.byteLength(part)}:${part}`);
  return hmac.digest('base64url').slice(0, 22);
}

/** What a registry is called in credential files and by helpers: Docker Hub by one name, whichever of its hosts answers. */
export function registryName(registry: URL): string {
  return hubHosts.has(registry.host) ? 'docker.io' : registry.host;
}

export const hubHosts: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Asks several sources in order; the first that has a credential wins. An error of one is not skipped. */
export function firstOf(sources: readonly CredentialSource[]): CredentialSource {
  return {
    async get(target, signal) {
      for (const source of sources) {
        const credential = await source.get(target, signal);
        if (credential !== undefined) return credential;
      }
      return undefined;
    },
    refused(target) {
      for (const source of sources) source.refused(target);
    },
    mayAnswer: (registry) => sources.some((source) => source.mayAnswer(registry)),
    isAt: (place, registry) => sources.some((source) => source.isAt(place, registry)),
  };
}
