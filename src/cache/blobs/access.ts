/** What a repository still has to prove before it may read a blob that lies here or is on its way. */
import type { Digest } from '../../oci/digest.ts';
import type { BlobStore } from '../../store/contract/blob-store.ts';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobQuery } from '../contract/cache.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import type { Fill } from '../../fill/fill.ts';
import type { FillTable } from '../../fill/fills.ts';
import { look } from '../../fill/contract/look.ts';
import type { Rights } from '../contract/rights.ts';

export interface BlobAccessOptions {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly rights: Rights;
  readonly fills: FillTable;
  readonly logger: Logger;
}

export class BlobAccess {
  readonly #options: BlobAccessOptions;

  constructor(options: BlobAccessOptions) {
    this.#options = options;
  }

  /** Bytes of another upstream that strangers do not get: this one has to send them itself. */
  isForeign(key: RepositoryKey, digest: Digest): boolean {
    const { rights, metadata } = this.#options;
    if (metadata.blobs.get(digest) === undefined || rights.isLinked(key, digest, 'blob')) return false;
    return !rights.isWordEnough(key, digest);
  }

  /** The upstream gave the bytes of this fill through the repository, or said that it would. */
  mayJoin(fill: Fill, key: RepositoryKey): boolean {
    const { rights } = this.#options;
    if (fill.sources.hasWord(key.repository) || rights.hasWord(key, fill.digest, 'blob')) return true;
    return rights.isLinked(key, fill.digest, 'blob');
  }

  /** It is here, or coming, through another repository. */
  async isElsewhere({ upstream, repository, digest }: BlobQuery): Promise<boolean> {
    const { fills, store } = this.#options;
    const fill = fills.get(upstream, digest);
    if (fill !== undefined) return !fill.sources.has(repository);
    if (store.partials().some(({ key }) => key.digest === digest && key.upstream === upstream)) return true;
    return (await look(this.#options, digest)) !== undefined;
  }
}

export function unproved({ upstream, repository }: RepositoryKey, digest: Digest): CacheError {
  return new CacheError('mismatch', upstream, `${upstream}/${repository}@${digest}: no word that proves it`);
}
