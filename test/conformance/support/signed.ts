/** An image with signatures in every form that clients look for, and the questions that lead to them. */
import type { Digest } from '../../../src/oci/digest.ts';
import { buildArtifact, buildImage, buildIndex, type BuiltManifest } from '../../support/image-builder.ts';
import type { RawResponse } from '../../support/raw-client.ts';
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import type { Match } from '../../support/upstream/request.ts';

export const repository = 'team/app';
export const indexType = 'application/vnd.oci.image.index.v1+json';
export const signatureType = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const sbomType = 'application/spdx+json';

/** One way to ask for signatures of an image. */
export interface Question {
  readonly name: string;
  readonly path: (image: BuiltManifest) => string;
  /** At the upstream. */
  readonly match: (image: BuiltManifest) => Match;
  /** What the answer holds, sorted; undefined when it is not what it has to be. */
  readonly held: (answer: RawResponse, signed: Signed) => readonly string[] | undefined;
  /** All that there is to hold. */
  readonly all: (signed: Signed) => readonly string[];
  /** Somebody signs once more; resolves all that there is then. */
  readonly sign: (upstream: ScriptedUpstream, signed: Signed) => readonly string[];
}

export interface Signed {
  readonly image: BuiltManifest;
  readonly signature: BuiltManifest;
  readonly sbom: BuiltManifest;
  /** What the fallback tag points to. */
  readonly fallback: BuiltManifest;
}

/** `sha256-<hex>`, the tag of the referrers tag schema and the stem of cosign's tags. */
export function tagStem(digest: Digest): string {
  return digest.replace(':', '-');
}

/** Puts an image and its signatures in place; `seed` tells one from another. */
export function addSigned(upstream: ScriptedUpstream, seed: string): Signed {
  const image = buildImage({ seed, layers: [100] });
  const of = (name: string, artifactType: string): BuiltManifest =>
    buildArtifact({ seed: `${seed} ${name}`, artifactType, files: [50], subject: image, annotations: { name } });
  const [signature, sbom] = [of('signature', signatureType), of('sbom', sbomType)];
  const fallback = buildIndex([signature, sbom]);
  const { content } = upstream;
  content.add(repository, image, seed);
  const stem = tagStem(image.digest);
  content.add(repository, signature, `${stem}.sig`, `${stem}.att`);
  content.add(repository, sbom, `${stem}.sbom`);
  content.add(repository, fallback, stem);
  return { image, signature, sbom, fallback };
}

function digestsIn({ status, headers, body }: RawResponse): readonly string[] | undefined {
  if (status !== 200 || headers['content-type'] !== indexType) return undefined;
  const { manifests } = JSON.parse(body.toString()) as { readonly manifests: readonly { readonly digest: string }[] };
  return manifests.map(({ digest }) => digest).toSorted();
}

function list(name: string, query: string, all: Question['all']): Question {
  return {
    name,
    path: ({ digest }) => `${repository}/referrers/${digest}${query}`,
    match: ({ digest }) => ({ kind: 'referrers', reference: digest }),
    held: digestsIn,
    all: (signed) => all(signed).toSorted(),
    sign: (upstream, signed) => {
      const more = buildArtifact({ seed: 'more', artifactType: sbomType, files: [60], subject: signed.image });
      upstream.content.add(repository, more);
      return [...all(signed), more.digest].toSorted();
    },
  };
}

function tag(name: string, suffix: string, of: (signed: Signed) => BuiltManifest): Question {
  return {
    name,
    path: ({ digest }) => `${repository}/manifests/${tagStem(digest)}${suffix}`,
    // By digest too: where a tag points may be known while what it points to is not.
    match: () => ({ kind: 'manifest' }),
    held: ({ status, headers, sha256 }, signed) => {
      const isRight = headers['content-type'] === of(signed).mediaType && headers['docker-content-digest'] === sha256;
      return status === 200 && isRight ? [sha256] : undefined;
    },
    all: (signed) => [of(signed).digest],
    sign: (upstream, signed) => {
      const more = buildArtifact({ seed: 'more', files: [60], subject: signed.image });
      const next = suffix === '' ? buildIndex([signed.signature, signed.sbom, more]) : more;
      upstream.content.add(repository, next, `${tagStem(signed.image.digest)}${suffix}`);
      return [next.digest];
    },
  };
}

export const lists: readonly Question[] = [
  list('referrers', '', ({ signature, sbom }) => [signature.digest, sbom.digest]),
  list('referrers of a type', `?artifactType=${encodeURIComponent(sbomType)}`, ({ sbom }) => [sbom.digest]),
];

export const tags: readonly Question[] = [
  tag('the tag .sig', '.sig', ({ signature }) => signature),
  tag('the tag .att', '.att', ({ signature }) => signature),
  tag('the tag .sbom', '.sbom', ({ sbom }) => sbom),
  tag('the fallback tag', '', ({ fallback }) => fallback),
];

export const questions: readonly Question[] = [...lists, ...tags];
