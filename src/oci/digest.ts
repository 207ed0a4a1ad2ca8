/**
 * Content digests (OCI image-spec, descriptor.md "Digests").
 *
 * A `Digest` is a string that has passed {@link parseDigest}: one of the two algorithms that weir can verify, in lower
 * case and with the exact length. Because nothing else has the type, a `Digest` is safe as a file name and as a map key.
 */
import { type Hash, createHash } from 'node:crypto';

declare const digestBrand: unique symbol;

export type Digest = string & { readonly [digestBrand]: true };

export type DigestAlgorithm = 'sha256' | 'sha512';

const supported = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** Components and separators share no character, so the match is linear in the length of the text. */
const grammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/** The digest in `text`, or undefined when it is malformed or of an algorithm that weir cannot verify. */
export function parseDigest(text: string): Digest | undefined {
  return isDigest(text) ? text : undefined;
}

/**
 * Whether `text` has the shape of a digest of any algorithm. True together with `parseDigest(text) === undefined` means
 * "unsupported algorithm, or a wrong length for a known one"; false means that it is no digest at all.
 */
export function isDigestGrammar(text: string): boolean {
  return grammar.test(text);
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The part after the colon: 64 or 128 lower-case hexadecimal digits. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** A running hash. It owns no resource that must be released. */
export interface Hasher {
  readonly algorithm: DigestAlgorithm;
  update(bytes: Uint8Array): void;
  /** The digest of everything so far. Ends this hasher: take a {@link copy} first to continue. */
  digest(): Digest;
  /** An independent hasher with the same state. */
  copy(): Hasher;
}

export function hasher(algorithm: DigestAlgorithm): Hasher {
  return wrap(algorithm, createHash(algorithm));
}

/** The digest of bytes that are already in memory. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return brand(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}

function wrap(algorithm: DigestAlgorithm, hash: Hash): Hasher {
  return {
    algorithm,
    update(bytes) {
      hash.update(bytes);
    },
    digest: () => brand(algorithm, hash.digest('hex')),
    copy: () => wrap(algorithm, hash.copy()),
  };
}

function brand(algorithm: DigestAlgorithm, hex: string): Digest {
  // node:crypto writes lower-case hexadecimal of exactly the algorithm's length.
  return `${algorithm}:${hex}` as Digest;
}

function isDigest(text: string): text is Digest {
  return supported.test(text);
}
