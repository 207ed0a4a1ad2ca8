/** Proving that what an upstream sent is the manifest that was asked for. */
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts';
import { readManifestInSteps } from '../../oci/manifest.ts';
import { mediaTypes, storedMediaType, stripParameters } from '../../oci/media-type.ts';

/** A manifest whose bytes have been hashed here. */
export interface ProvedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

export interface ManifestRefusal {
  readonly kind: 'refused';
  /** A word from a fixed set, for counting. */
  readonly reason:
    | 'digest-mismatch'
    | 'media-type-conflict'
    | 'too-large'
    | 'too-deep'
    | 'not-json'
    | 'not-an-object'
    | 'error-document'
    | 'not-a-manifest'
    | 'too-many-entries';
  readonly message: string;
}

/**
 * `expected` is the digest that was asked for; for a tag, what the upstream announced, undefined where it announced
 * nothing. Then the sha256 of the bytes becomes the digest.
 */
export async function proveManifest(
  sent: { readonly bytes: Uint8Array; readonly mediaType: string | undefined },
  expected: Digest | undefined,
): Promise<ProvedManifest | ManifestRefusal> {
  const digest = digestOf(sent.bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected));
  if (expected !== undefined && digest !== expected) {
    const why = isSignedSchema1(sent.mediaType) ? ': signed schema 1, whose digest is not that of its bytes' : '';
    return refused('digest-mismatch', `expected ${expected}, got ${digest} (${sent.bytes.byteLength} bytes)${why}`);
  }
  const facts = await readManifestInSteps(sent.bytes);
  if (facts.kind === 'invalid') return refused(facts.problem, facts.message);
  const type = storedMediaType(sent.mediaType, facts);
  if (type.kind === 'conflict') {
    return refused('media-type-conflict', `the answer says ${type.header}, the document ${type.document}`);
  }
  if (type.kind === 'foreign') {
    // A registry's refusal with the wrong status, a portal's page, somebody else's API. Kept, it would be what a tag means.
    if (facts.isError) return refused('error-document', 'an error document instead of a manifest');
    return refused('not-a-manifest', `no manifest by its type (${type.mediaType || 'none'}), nor by what is in it`);
  }
  return { digest, mediaType: type.mediaType, bytes: sent.bytes };
}

function refused(reason: ManifestRefusal['reason'], message: string): ManifestRefusal {
  return { kind: 'refused', reason, message };
}

function isSignedSchema1(contentType: string | undefined): boolean {
  return stripParameters(contentType ?? '') === mediaTypes.dockerSigned;
}
