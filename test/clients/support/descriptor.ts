/** What clients know of content before they have it, and whether what came is that. */
import { expect } from 'vitest';
import type { BuiltManifest } from '../../support/image-builder.ts';
import type { Answer } from './client.ts';

export interface Described {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

interface ManifestDocument {
  readonly config?: Described;
  readonly layers?: readonly Described[];
  readonly manifests?: readonly Described[];
}

export function parse(bytes: Buffer): ManifestDocument {
  return JSON.parse(bytes.toString()) as ManifestDocument;
}

/** Config and layers, in that order. */
export function blobsOf(bytes: Buffer): readonly Described[] {
  const { config, layers = [] } = parse(bytes);
  return [...(config === undefined ? [] : [config]), ...layers];
}

export function described({
  digest,
  mediaType,
  bytes,
}: Pick<BuiltManifest, 'digest' | 'mediaType' | 'bytes'>): Described {
  return { digest, mediaType, size: bytes.length };
}

/** A whole body, bit for bit what its descriptor says. */
export function expectWhole(answer: Answer, { digest, size }: Described): Buffer {
  expect([answer.status, answer.cleanEnd], answer.request).toEqual([200, true]);
  expect(answer.headers['content-length'], answer.request).toBe(String(size));
  expect(answer.sha256, answer.request).toBe(digest);
  return answer.body;
}

/** The descriptor that a HEAD of a manifest describes. Every client wants these three, without parameters. */
export function describedBy(answer: Answer): Described {
  expect(answer.status, answer.request).toBe(200);
  const {
    'content-type': mediaType = '',
    'docker-content-digest': digest = '',
    'content-length': size,
  } = answer.headers;
  expect(digest, answer.request).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(mediaType, answer.request).toMatch(/^application\/[a-z0-9.+-]+$/);
  return { mediaType, digest, size: Number(size) };
}
