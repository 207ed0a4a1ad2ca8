/** Putting an answer together from a manifest and from what had to be done for it. */
import type { ManifestRecord } from '../../store/contract/metadata.ts';
import type { ManifestAnswer, ManifestQuery } from '../contract/cache.ts';
import type { ProvedManifest } from './verify.ts';
import type { Outcome } from '../../headers/cache-status.ts';

export interface Content {
  readonly record: ManifestRecord;
  readonly bytes: Uint8Array | undefined;
  /** Whether a manifest that was just fetched could be stored; undefined when nothing was fetched. */
  readonly isStored?: boolean | undefined;
}

export function contentOf(manifest: ProvedManifest, isStored?: boolean): Content {
  const { digest, mediaType, bytes } = manifest;
  return { record: { digest, mediaType, sizeBytes: bytes.byteLength }, bytes, isStored };
}

/** With the type that it has under the repository that is asked; as it is where none is known. */
export function typed(content: Content, mediaType: string | undefined): Content {
  return mediaType === undefined ? content : { ...content, record: { ...content.record, mediaType } };
}

export function answerOf(content: Content, method: ManifestQuery['method'], outcome: Outcome): ManifestAnswer {
  const { digest, mediaType, sizeBytes } = content.record;
  const bytes = method === 'get' ? content.bytes : undefined;
  return { digest, mediaType, sizeBytes, bytes, outcome: withStorage(outcome, content.isStored) };
}

function withStorage(outcome: Outcome, isStored: boolean | undefined): Outcome {
  if (isStored === undefined) return outcome;
  return isStored ? { ...outcome, isStored } : { ...outcome, kind: 'bypass' };
}
