/** Artifacts with the media types that their own tools give them. */
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { randomBytesOf } from '../../support/byte-source.ts';
import { blob, type BuiltBlob, type BuiltManifest } from '../../support/image-builder.ts';

export interface Part {
  readonly mediaType: string;
  /** A text, or so many random bytes. */
  readonly content: string | number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Artifact {
  readonly config: Part;
  readonly layers: readonly Part[];
  readonly artifactType?: string;
  readonly subject?: BuiltManifest;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Default: OCI's image manifest. */
  readonly mediaType?: string;
}

export const emptyConfig: Part = { mediaType: mediaTypes.ociEmpty, content: '{}' };

/** A manifest with its blobs, for a registry to hold. */
export function artifactOf({ config, layers, subject, mediaType, ...rest }: Artifact): BuiltManifest {
  const built = [config, ...layers].map((part, index) => ({ part, blob: bytesOf(part, index) }));
  const [first, ...others] = built.map(({ part, blob: { digest, bytes } }) => ({
    mediaType: part.mediaType,
    digest,
    size: bytes.length,
    ...(part.annotations === undefined ? {} : { annotations: part.annotations }),
  }));
  const type = mediaType ?? mediaTypes.ociManifest;
  const document = {
    schemaVersion: 2,
    mediaType: type,
    ...rest,
    config: first,
    layers: others,
    ...(subject === undefined ? {} : { subject: subject.descriptor }),
  };
  const manifest = blob(Buffer.from(JSON.stringify(document)), type);
  return {
    ...manifest,
    descriptor: { mediaType: type, digest: manifest.digest, size: manifest.bytes.length },
    blobs: built.map((one) => one.blob),
    children: [],
  };
}

function bytesOf({ mediaType, content }: Part, index: number): BuiltBlob {
  const bytes = typeof content === 'string' ? Buffer.from(content) : randomBytesOf(content, `${mediaType}/${index}`);
  return blob(bytes, mediaType);
}
