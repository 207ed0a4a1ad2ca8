/** The media types of manifests, and which of several claims about a document's type is believed. */

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  /** Withdrawn before image-spec 1.1, but stored and asked for in the wild. */
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  /** Schema 1. Current clients refuse it; it is passed on like anything else. */
  dockerSigned: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  dockerUnsigned: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  octetStream: 'application/octet-stream',
  json: 'application/json',
} as const;

const indexTypes: ReadonlySet<string> = new Set([mediaTypes.ociIndex, mediaTypes.dockerList]);
const manifestTypes: ReadonlySet<string> = new Set([
  ...indexTypes,
  mediaTypes.ociManifest,
  mediaTypes.ociArtifact,
  mediaTypes.dockerManifest,
  mediaTypes.dockerSigned,
  mediaTypes.dockerUnsigned,
]);

/** Types that servers send when they do not know better. */
const vagueTypes: ReadonlySet<string> = new Set(['', 'text/plain', mediaTypes.json, mediaTypes.octetStream]);

/**
 * What to send as `Accept` when a tag is asked for. Always all four: distribution answers 404, or another digest, to a
 * client that does not name the stored type, and a cache keyed by tag must see one answer only. No schema 1, because
 * Quay then converts to it.
 */
export const manifestAccept = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
].join(', ');

/** Whether `mediaType` (without parameters) names a manifest of any kind, indexes included. */
export function isManifestType(mediaType: string): boolean {
  return manifestTypes.has(mediaType);
}

/** Whether `mediaType` names a document that lists other manifests. */
export function isIndexType(mediaType: string): boolean {
  return indexTypes.has(mediaType);
}

/** RFC 6838 §4.2, and a bound: whatever else a server sends here is no type, and would be served as one for ever. */
const typeShape = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

/** A Content-Type value without `; charset=…` and the like. Clients compare types as plain text. */
export function stripParameters(contentType: string): string {
  const semicolon = contentType.indexOf(';');
  return (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim();
}

function typeOrNothing(text: string): string {
  return typeShape.test(text) ? text : '';
}

export type StoredMediaType =
  | { readonly kind: 'known'; readonly mediaType: string }
  /** Header and document name two different manifest types: one of them lies, and clients would disagree on which. */
  | { readonly kind: 'conflict'; readonly header: string; readonly document: string };

/** The claims of a document about itself; `ManifestFacts` has this shape. */
export interface DocumentClaims {
  readonly mediaType?: string;
  readonly kind: 'manifest' | 'index' | 'other';
}

/**
 * The type under which a manifest is stored and served for ever: upstream's Content-Type, unless that says nothing; then
 * the document's own `mediaType`; then what its shape suggests.
 */
export function storedMediaType(contentType: string | undefined, document: DocumentClaims): StoredMediaType {
  const header = typeOrNothing(stripParameters(contentType ?? ''));
  const own = typeOrNothing(document.mediaType ?? '');
  if (isManifestType(header) && isManifestType(own) && header !== own) {
    return { kind: 'conflict', header, document: own };
  }
  if (!vagueTypes.has(header.toLowerCase())) return { kind: 'known', mediaType: header };
  if (own !== '') return { kind: 'known', mediaType: own };
  if (document.kind === 'index') return { kind: 'known', mediaType: mediaTypes.ociIndex };
  if (document.kind === 'manifest') return { kind: 'known', mediaType: mediaTypes.ociManifest };
  return { kind: 'known', mediaType: header === '' ? mediaTypes.json : header };
}
