/** HEAD of a blob that is not here: the upstream's word about its size, and nothing is brought. */
import { Coalesce } from '../../lib/single-flight.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import type { BlobQuery } from '../contract/cache.ts';
import type { BlobView } from '../../fill/contract/blob-view.ts';
import { BrokenBodyError } from '../../fill/contract/errors.ts';
import { contentText } from '../../store/contract/keys.ts';
import type { Rights } from '../contract/rights.ts';

export class BlobSizes {
  readonly #rights: Pick<Rights, 'said'>;
  readonly #questions = new Coalesce<number | undefined>();

  constructor(rights: Pick<Rights, 'said'>) {
    this.#rights = rights;
  }

  /** One question for all who ask through the same repository. Rejects with UpstreamError. */
  async ask({ repository, digest, client }: BlobQuery, upstream: Upstream, signal: AbortSignal): Promise<BlobView> {
    const key = { upstream: upstream.key, repository };
    const ask = async (own: AbortSignal): Promise<number | undefined> => {
      const found = await upstream.statBlob(repository, digest, own, { client });
      this.#rights.said(key, digest, 'blob', found);
      return found.sizeBytes;
    };
    const sizeBytes = await this.#questions.run(contentText(key, digest), ask, signal);
    const refused = (): Promise<never> => Promise.reject(new BrokenBodyError('a HEAD has no body'));
    const outcome = { kind: 'miss' } as const;
    return { digest, sizeBytes, outcome, isProved: false, proved: refused, open: refused, close: () => undefined };
  }
}
