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
const vagueTypes: ReadonlySet<string> = new Set([
  '',
  'text/plain',
  'text/json',
  'text/x-json',
  mediaTypes.json,
  'application/x-json',
  mediaTypes.octetStream,
  'binary/octet-stream',
  'application/x-octet-stream',
]);
/** What an API, and no registry, calls its documents. */
const foreignTypes: ReadonlySet<string> = new Set(['application/vnd.api+json', 'application/vnd.error+json']);

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

/** Whether `mediaType` names Docker's manifests of schema 1. */
export function isSchema1Type(mediaType: string): boolean {
  return mediaType === mediaTypes.dockerSigned || mediaType === mediaTypes.dockerUnsigned;
}

/** RFC 6838 §4.2, and a bound: whatever else a server sends here is no type, and would be served as one for ever. */
const typeShape = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

/** A Content-Type value without `; charset=…` and the like. Clients compare types as plain text. */
export function stripParameters(contentType: string): string {
  const semicolon = contentType.indexOf(';');
  return (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim();
}

/** Whether `text` may stand as a type in a header, a catalog or an index. */
export function isMediaType(text: string): boolean {
  return typeShape.test(text);
}

/** The type without its parameters; nothing for what is no type. */
export function cleanMediaType(text: string): string {
  const type = stripParameters(text);
  return typeShape.test(type) ? type : '';
}

/**
 * What the fields of a document make it. `mixed`: clients would read it as a manifest or as an index, whichever they were
 * told that it is (CVE-2021-41190).
 */
export type DocumentShape = 'manifest' | 'index' | 'schema1' | 'mixed' | 'none';

export type StoredMediaType =
  | { readonly kind: 'known'; readonly mediaType: string }
  /** Its header says something else than the document: clients would disagree on what it is. */
  | { readonly kind: 'conflict'; readonly header: string; readonly document: string }
  /** Neither a type nor its shape makes it a manifest. */
  | { readonly kind: 'foreign'; readonly mediaType: string };

/** The claims of a document about itself; `ManifestFacts` has this shape. */
export interface DocumentClaims {
  readonly mediaType?: string;
  readonly shape: DocumentShape;
  readonly isSigned?: true;
}

/**
 * The type under which a manifest is stored and served for ever: upstream's Content-Type, unless that says nothing; then
 * the document's own `mediaType`; then what its shape suggests. Types of others (`application/vnd.example+json`) pass, as
 * the distribution-spec wants.
 */
export function storedMediaType(contentType: string | undefined, document: DocumentClaims): StoredMediaType {
  const { shape } = document;
  const header = cleanMediaType(contentType ?? '');
  const own = cleanMediaType(document.mediaType ?? '');
  const conflict = (told: string): StoredMediaType => ({ kind: 'conflict', header, document: told });
  if (isManifestType(header)) {
    if (isManifestType(own)) return header === own ? { kind: 'known', mediaType: header } : conflict(own);
    const wanted = shapeOfType(header);
    const isContradicted = shape !== 'none' && wanted !== undefined && shape !== wanted;
    return isContradicted ? conflict(`has the fields of ${nameOf[shape]}`) : { kind: 'known', mediaType: header };
  }
  if (isOwnType(header)) return { kind: 'known', mediaType: header };
  const told = isManifestType(own) || isOwnType(own) ? own : typeOfShape(document);
  if (told === undefined) return { kind: 'foreign', mediaType: header };
  return vagueTypes.has(header.toLowerCase()) ? { kind: 'known', mediaType: told } : conflict(told);
}

/** A type that somebody has made for manifests of their own. */
function isOwnType(type: string): boolean {
  return /^application\/(?:vnd|x|prs)[.-]/.test(type) && !vagueTypes.has(type) && !foreignTypes.has(type);
}

const nameOf: Readonly<Record<DocumentShape, string>> = {
  manifest: 'an image manifest',
  index: 'an index',
  schema1: 'a manifest of schema 1',
  mixed: 'a manifest and of an index',
  none: 'nothing known',
};

function shapeOfType(type: string): DocumentShape | undefined {
  if (isIndexType(type)) return 'index';
  if (isSchema1Type(type)) return 'schema1';
  // Its fields are its own.
  return type === mediaTypes.ociArtifact ? undefined : 'manifest';
}

function typeOfShape({ shape, isSigned }: DocumentClaims): string | undefined {
  switch (shape) {
    case 'index':
      return mediaTypes.ociIndex;
    case 'manifest':
      return mediaTypes.ociManifest;
    case 'schema1':
      return isSigned === true ? mediaTypes.dockerSigned : mediaTypes.dockerUnsigned;
    case 'mixed':
    case 'none':
      return undefined;
  }
}
