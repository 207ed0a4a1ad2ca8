/** Which manifest of a repository names a blob: by the edges that the catalog keeps, else by reading the documents. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes, readManifestInSteps } from '../../oci/manifest.ts';
import { StoreError } from '../../store/contract/blob-store.ts';
import type { LinkRecord, RepositoryKey } from '../../store/contract/metadata.ts';
import { contentText } from '../../store/contract/keys.ts';
import type { RightsDeps } from '../contract/deps.ts';

/** Of one repository, for one blob. */
const maxLinks = 16;
const maxDocuments = 32;
/** Documents that did not name it are not read again for this long. */
const restMs = 5000;

type Deps = Pick<RightsDeps, 'metadata' | 'store' | 'clock' | 'logger'>;

export class Naming {
  readonly #deps: Deps;
  readonly #inVain = new LRUCache<string, number>({ max: 4096 });

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The link of a manifest that names the blob, among those that count. */
  async find(key: RepositoryKey, blob: Digest, counts: (link: LinkRecord) => boolean): Promise<LinkRecord | undefined> {
    const { metadata, clock } = this.#deps;
    const link = metadata.edges.namedBy(key, blob, maxLinks).find(counts);
    if (link !== undefined) return link;
    const text = contentText(key, blob);
    if (clock.monotonic() < (this.#inVain.get(text) ?? 0)) return undefined;
    for (const unread of metadata.edges.unread(key, maxDocuments)) {
      if (counts(unread) && (await this.#names(unread.digest, blob))) return unread;
    }
    this.#inVain.set(text, clock.monotonic() + restMs);
    return undefined;
  }

  async #names(manifest: Digest, blob: Digest): Promise<boolean> {
    const { store, logger } = this.#deps;
    try {
      const bytes = await store.readAll(manifest, maxManifestBytes);
      const facts = bytes === undefined ? undefined : await readManifestInSteps(bytes);
      return facts !== undefined && facts.kind !== 'invalid' && facts.blobs.some(({ digest }) => digest === blob);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn({ err: error, digest: manifest }, 'a manifest cannot be read; what it names needs a question');
      return false;
    }
  }
}
