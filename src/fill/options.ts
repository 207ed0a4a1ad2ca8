/** What a fill is told when it begins. */
import type { Digest } from '../oci/digest.ts';
import type { RequestRange } from '../headers/range.ts';
import type { Repository } from '../oci/reference.ts';
import type { Upstream } from '../upstream/contract/upstream.ts';
import type { PrefetchTerms } from './audience.ts';
import type { Deserted } from './deserted.ts';

export interface FillOptions {
  /** To find out whether this upstream has what lies here already. */
  readonly isProof?: boolean | undefined;
  readonly digest: Digest;
  readonly upstream: Upstream;
  readonly repository: Repository;
  /** What the first client asked for; undefined for everything. */
  readonly firstRange: RequestRange | undefined;
  readonly avoidEndpoints: Iterable<string>;
  readonly prefetch?: PrefetchTerms | undefined;
  readonly deserted: Deserted;
  /** The upstream sent other bytes than it was asked for. */
  readonly onMismatch: (endpoints: Iterable<string>) => void;
}
