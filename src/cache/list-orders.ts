/** What the thread that reads long lists is asked and answers. */
import { readReferrers, type Referrer } from './referrers-index.ts';
import { readTags } from './tags-page.ts';
import type { Tag } from '../oci/reference.ts';

export interface ListOrder {
  readonly id: number;
  readonly kind: 'tags' | 'referrers';
  readonly bytes: Uint8Array;
  readonly contentType?: string | undefined;
}

export interface ListReply {
  readonly id: number;
  /** Undefined: that is no such list. */
  readonly list: readonly Tag[] | readonly Referrer[] | undefined;
}

export function readList({ kind, bytes, contentType }: ListOrder): ListReply['list'] {
  return kind === 'tags' ? readTags(bytes) : readReferrers(bytes, contentType);
}
