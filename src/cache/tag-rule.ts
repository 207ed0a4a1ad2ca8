/** How long each tag counts as fresh. */
import type { Tag } from '../oci/reference.ts';
import type { UpstreamPolicy } from './policy.ts';
import type { PolicyOptions } from './policy-deps.ts';

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

export function tagRule(tag: Tag, policy: UpstreamPolicy, options: Pick<PolicyOptions, 'listingTtlMs'>): TagRule {
  if (attachment.test(tag)) return { isImmutable: false, ttlMs: Math.min(policy.tagTtlMs, options.listingTtlMs) };
  return { isImmutable: policy.isImmutableTag(tag), ttlMs: policy.tagTtlMs };
}
