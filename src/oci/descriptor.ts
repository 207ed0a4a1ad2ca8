/** Descriptors: how OCI documents point at content (image-spec, descriptor.md). */
import { type Digest, parseDigest } from './digest.ts';
import { cleanMediaType } from './media-type.ts';
import { field, isJsonObject, textField, textMapField } from '../lib/json/json.ts';

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface Descriptor {
  /** Nothing where the document names what is no type: it may end up in a header. */
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. A claim of whoever wrote the document, until the content itself has been measured. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
  /** It names places of its own to get it from, as layers do that registries do not hold. */
  readonly hasUrls?: true;
}

/** The descriptor in `value`, or undefined when it lacks a type, a verifiable digest or a usable size. */
export function parseDescriptor(value: unknown): Descriptor | undefined {
  if (!isJsonObject(value)) return undefined;
  const mediaType = textField(value, 'mediaType');
  const digest = parseDigest(textField(value, 'digest') ?? '');
  const size = field(value, 'size');
  if (mediaType === undefined || digest === undefined || !isSize(size)) return undefined;
  const artifactType = textField(value, 'artifactType');
  const annotations = textMapField(value, 'annotations');
  const urls = field(value, 'urls');
  const platform = parsePlatform(field(value, 'platform'));
  return {
    mediaType: cleanMediaType(mediaType),
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform }),
    ...(Array.isArray(urls) && urls.length > 0 ? { hasUrls: true } : {}),
  };
}

function parsePlatform(value: unknown): Platform | undefined {
  if (!isJsonObject(value)) return undefined;
  const os = textField(value, 'os');
  const architecture = textField(value, 'architecture');
  if (os === undefined || architecture === undefined) return undefined;
  const variant = textField(value, 'variant');
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
