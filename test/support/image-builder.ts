/** Small images, indexes and artifacts with content that depends on nothing but their seed. */
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { randomBytesOf } from './byte-source.ts';

export interface BuiltBlob {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface BuiltManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** Points at this manifest, for an index or a subject. */
  readonly descriptor: Descriptor;
  /** Config first, then layers; empty for an index. */
  readonly blobs: readonly BuiltBlob[];
  /** The manifests of an index. */
  readonly children: readonly BuiltManifest[];
}

export interface ImageOptions {
  readonly seed?: number | string;
  /** Sizes of the layers in bytes. */
  readonly layers?: readonly number[];
  readonly flavour?: 'oci' | 'docker';
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
  readonly algorithm?: 'sha256' | 'sha512';
}

export function buildImage(options: ImageOptions = {}): BuiltManifest {
  const { seed = 0, layers = [1000, 2000, 3000], flavour = 'oci', algorithm = 'sha256' } = options;
  const platform = options.platform ?? { os: 'linux', architecture: 'amd64' };
  const isOci = flavour === 'oci';
  const layerType = isOci ? mediaTypes.ociLayerGzip : mediaTypes.dockerLayer;
  const built = layers.map((size, i) => blob(randomBytesOf(size, `${seed}/${i}`), layerType, algorithm));
  const config = blob(
    Buffer.from(
      JSON.stringify({ ...platform, config: { Labels: { seed: String(seed) } }, rootfs: { type: 'layers' } }),
    ),
    isOci ? mediaTypes.ociConfig : mediaTypes.dockerConfig,
    algorithm,
  );
  const document = {
    schemaVersion: 2,
    mediaType: isOci ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
    config: descriptorOf(config),
    layers: built.map(descriptorOf),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  };
  return manifest(document, { blobs: [config, ...built], platform, algorithm });
}

export function buildIndex(children: readonly BuiltManifest[], flavour: 'oci' | 'docker' = 'oci'): BuiltManifest {
  const mediaType = flavour === 'oci' ? mediaTypes.ociIndex : mediaTypes.dockerList;
  return manifest({ schemaVersion: 2, mediaType, manifests: children.map((child) => child.descriptor) }, { children });
}

export interface ArtifactOptions {
  readonly seed?: number | string;
  readonly artifactType?: string;
  readonly files?: readonly number[];
  readonly subject?: BuiltManifest;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An artifact as image-spec 1.1 has it: an image manifest with an artifactType and the empty config. */
export function buildArtifact(options: ArtifactOptions = {}): BuiltManifest {
  const { seed = 'artifact', artifactType = 'application/vnd.example.thing', files = [500] } = options;
  const config = blob(Buffer.from('{}'), mediaTypes.ociEmpty);
  const built = files.map((size, i) => blob(randomBytesOf(size, `${seed}/${i}`), 'application/vnd.example.file'));
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: descriptorOf(config),
    layers: built.map(descriptorOf),
    ...(options.subject === undefined ? {} : { subject: options.subject.descriptor }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  };
  return manifest(document, { blobs: [config, ...built] });
}

/** The manifest itself and everything below it, children first. */
export function allManifests(root: BuiltManifest): readonly BuiltManifest[] {
  return [...root.children.flatMap(allManifests), root];
}

export function blob(bytes: Buffer, mediaType: string, algorithm: 'sha256' | 'sha512' = 'sha256'): BuiltBlob {
  return { digest: digestOf(bytes, algorithm), mediaType, bytes };
}

function descriptorOf({ mediaType, digest, bytes }: BuiltBlob): Descriptor {
  return { mediaType, digest, size: bytes.length };
}

interface Parts {
  readonly blobs?: readonly BuiltBlob[];
  readonly children?: readonly BuiltManifest[];
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly algorithm?: 'sha256' | 'sha512';
}

function manifest(
  document: Readonly<Record<string, unknown>> & { readonly mediaType: string },
  parts: Parts,
): BuiltManifest {
  const bytes = Buffer.from(JSON.stringify(document));
  const built = blob(bytes, document.mediaType, parts.algorithm);
  const { platform } = parts;
  return {
    ...built,
    descriptor: { ...descriptorOf(built), ...(platform === undefined ? {} : { platform }) },
    blobs: parts.blobs ?? [],
    children: parts.children ?? [],
  };
}
