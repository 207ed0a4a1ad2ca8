/** How long each tag counts as fresh, and what is worth remembering of one that is not there. */
import { type Digest, parseDigest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { TagKey, TagRecord } from '../../store/contract/metadata.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import { type Age, freshSeconds, staleSeconds } from '../freshness/age.ts';
import { tagText } from '../../store/contract/keys.ts';
import type { ManifestStore } from './store.ts';
import type { NoneKey } from '../freshness/nones.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyOptions } from '../contract/deps.ts';

export interface TagRule {
  /** Never asked about again. */
  readonly isImmutable: boolean;
  readonly ttlMs: number;
}

/**
 * The referrers tag schema and cosign's `sha256-….sig`, `.att` and `.sbom`: lists that grow whenever somebody signs,
 * whatever they are called (distribution-spec, "Referrers Tag Schema").
 */
const attachment = /^sha(?:256|512)-/;
const subject = /^(sha(?:256|512))-([0-9a-f]{64,128})(?:[._-]|$)/;

/** A row only for what is said of a manifest that this repository serves: it is asked about before each pull of that. */
export async function noneKeyOf(
  key: TagKey,
  metadata: Metadata,
  manifestStore: Pick<ManifestStore, 'stat'>,
): Promise<NoneKey> {
  const text = tagText(key);
  const about = subjectOf(key.tag);
  if (about === undefined || !metadata.links.has(key, about, 'manifest')) return { text };
  return (await manifestStore.stat(about)) === undefined ? { text } : { text, row: `none ${text}` };
}

/** The manifest about which such a tag says something. */
function subjectOf(tag: Tag): Digest | undefined {
  const [, algorithm = '', hex = ''] = subject.exec(tag) ?? [];
  return parseDigest(`${algorithm}:${hex}`);
}

/** Whether it is such a list. Of those a 404 counts in an outage too: a signature that was revoked stays revoked. */
export function isAttachment(tag: Tag): boolean {
  return attachment.test(tag);
}

export function tagRule(tag: Tag, policy: UpstreamPolicy, options: Pick<PolicyOptions, 'listingTtlMs'>): TagRule {
  if (isAttachment(tag)) return { isImmutable: false, ttlMs: Math.min(policy.tagTtlMs, options.listingTtlMs) };
  return { isImmutable: policy.isImmutableTag(tag), ttlMs: policy.tagTtlMs };
}

/** What Cache-Status says about how long, or since when, an answer counts. */
export function ttlOf(
  { checkedAtMs }: TagRecord,
  rule: TagRule,
  age: Age,
  { detail }: Outcome,
): Pick<Outcome, 'ttlSeconds'> {
  // Adopted, and never confirmed by anybody.
  if (checkedAtMs <= 0) return {};
  if (detail === undefined && rule.isImmutable) return {};
  return { ttlSeconds: detail === undefined ? freshSeconds(age, rule.ttlMs) : staleSeconds(age, rule.ttlMs) };
}
