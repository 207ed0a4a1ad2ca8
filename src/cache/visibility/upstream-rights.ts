/** Rights as an upstream gives them: links, what they are worth now, and the questions that make them. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import { isIndexType, isManifestType } from '../../oci/media-type.ts';
import type { ContentKind, LinkRecord, RepositoryKey } from '../../store/contract/metadata.ts';
import { originOf } from '../../store/contract/origin.ts';
import { certificatePlace } from '../../upstream/credentials/credentials.ts';
import { isNotFound, UpstreamError } from '../../upstream/contract/errors.ts';
import { provedBy } from '../../upstream/public-upstream.ts';
import type { FromClient } from '../contract/cache.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import { contentText } from '../../store/contract/keys.ts';
import { Naming } from './naming.ts';
import { NegativeCache } from '../freshness/negative-cache.ts';
import { onBehalf } from '../contract/on-behalf.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { RightsDeps } from '../contract/deps.ts';
import { Refresh } from '../freshness/revalidate.ts';
import type { Rights, Standing } from '../contract/rights.ts';
import type { Word } from '../../fill/contract/linker.ts';

/** Words about bytes that are not here, or not this upstream's. */
const maxWords = 16_384;

export class UpstreamRights implements Rights {
  readonly #deps: RightsDeps;
  readonly #questions: Refresh<void>;
  readonly #negativeCache: NegativeCache;
  readonly #naming: Naming;
  readonly #words = new LRUCache<string, Word>({ max: maxWords });
  /** Upstreams whose withheld links were told about. */
  readonly #told = new Set<string>();

  constructor(deps: RightsDeps) {
    this.#deps = deps;
    this.#questions = new Refresh(deps.clock, deps.options, deps.slowUpstreams);
    this.#negativeCache = new NegativeCache(deps.clock);
    this.#naming = new Naming(deps);
  }

  standing(key: RepositoryKey, digest: Digest, kind: ContentKind): Standing {
    const link = this.#deps.metadata.links.get(key, digest, kind);
    const standing = link === undefined ? 'none' : this.#worth(key, link);
    if (standing === 'good') return standing;
    const word = this.#words.get(wordText(key, digest, kind));
    if (word === undefined || !this.#fits(digest, kind, word) || !this.isWordEnough(key, digest)) return standing;
    this.#link(key, digest, kind, word);
    return this.#worth(key, { origin: originOf(word.shown) });
  }

  isLinked(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean {
    return this.standing(key, digest, kind) === 'good';
  }

  hasWord(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean {
    const word = this.#words.get(wordText(key, digest, kind));
    return word !== undefined && this.counts(key, word);
  }

  counts(key: RepositoryKey, { shown }: Pick<Word, 'shown'>): boolean {
    return this.#worth(key, { origin: originOf(shown) }) === 'good';
  }

  isWordEnough({ upstream }: RepositoryKey, digest: Digest): boolean {
    const { isPublic, isOwn } = this.#deps.metadata.provenance.get(digest, upstream);
    return isPublic || isOwn;
  }

  said(key: RepositoryKey, digest: Digest, kind: ContentKind, told: Word): void {
    const { metadata } = this.#deps;
    if (!this.#fits(digest, kind, told)) return;
    const word = kind === 'manifest' ? this.#typed(digest, told) : told;
    const { isPublic, isOwn } = metadata.provenance.get(digest, key.upstream);
    if (!isPublic && !isOwn) {
      this.#words.set(wordText(key, digest, kind), word);
      return;
    }
    if (isOwn && !isPublic && word.shown === undefined) metadata.provenance.addSender(digest, key.upstream, true);
    this.#link(key, digest, kind, word);
  }

  gave(key: RepositoryKey, digest: Digest, kind: ContentKind, word: Word): void {
    const { metadata } = this.#deps;
    const isPublic = word.shown === undefined;
    const known = metadata.provenance.get(digest, key.upstream);
    if (!known.isOwn || (isPublic && !known.isPublic)) metadata.provenance.addSender(digest, key.upstream, isPublic);
    this.#link(key, digest, kind, word);
  }

  async shortCut(key: RepositoryKey, digest: Digest): Promise<boolean> {
    const { metadata } = this.#deps;
    if (!this.#mayCut(key) || !metadata.provenance.get(digest, key.upstream).isPublic) return false;
    const link = await this.#naming.find(key, digest, (each) => ['good', 'held'].includes(this.#worth(key, each)));
    if (link === undefined) return false;
    metadata.links.add(key, digest, 'blob', { origin: link.origin });
    return true;
  }

  async ask(
    key: RepositoryKey,
    digest: Digest,
    kind: ContentKind,
    signal: AbortSignal,
    from: FromClient = {},
  ): Promise<boolean> {
    const { upstream } = onBehalf(this.#policy(key), from);
    const text = wordText(key, digest, kind);
    this.#negativeCache.check(text);
    const standing = this.standing(key, digest, kind);
    const question = { key: text, upstream: key.upstream, hasStale: standing === 'held' || standing === 'withheld' };
    const told = await this.#questions.run(
      question,
      async (own) => {
        try {
          const word = await this.#ask(upstream, key, digest, kind, own);
          if (word !== undefined) this.said(key, digest, kind, word);
        } catch (error) {
          if (isNotFound(error)) this.#negativeCache.remember(text, error, this.#deps.options.negativeTtlMs);
          throw error;
        }
      },
      signal,
    );
    if (told.kind === 'answered') return true;
    if (standing === 'held') return false;
    if (standing === 'withheld') throw this.withheld(key, told.error);
    throw told.error ?? new UpstreamError('timeout', 'no answer', { upstream: key.upstream });
  }

  withheld(key: RepositoryKey, cause: unknown): CacheError {
    const { metadata, logger } = this.#deps;
    if (!this.#told.has(key.upstream)) {
      this.#told.add(key.upstream);
      const links = metadata.links.countOfCredentials(key.upstream);
      logger.warn(
        { upstream: key.upstream, links },
        'content that came by a credential is refused until a stranger gets it',
      );
    }
    const name = `${key.upstream}/${key.repository}`;
    const options = cause instanceof Error ? { cause } : {};
    return new CacheError(
      'denied',
      key.upstream,
      `${name} is not known to be public, and nobody can be asked`,
      options,
    );
  }

  close(): void {
    this.#questions.close();
  }

  /** Undefined for an answer that proves nothing: the bytes have to. */
  async #ask(
    upstream: UpstreamPolicy['upstream'],
    key: RepositoryKey,
    digest: Digest,
    kind: ContentKind,
    signal: AbortSignal,
  ): Promise<Word | undefined> {
    if (kind === 'manifest') {
      const head = await upstream.headManifest(key.repository, { kind: 'digest', digest }, signal);
      return provedBy(head, { kind: 'digest', digest }) === undefined ? undefined : head;
    }
    const { sizeBytes, shown } = await upstream.statBlob(key.repository, digest, signal);
    const known = this.#deps.metadata.blobs.get(digest)?.sizeBytes ?? sizeBytes;
    if (sizeBytes === undefined) return undefined;
    if (sizeBytes === known) return { shown, sizeBytes };
    const name = `${key.upstream}/${key.repository}@${digest}`;
    throw new CacheError('mismatch', key.upstream, `${name}: said to have ${sizeBytes} bytes, and has ${known}`);
  }

  /** A page that strangers are led to says 200 as well, but hardly with the length of the blob. */
  #fits(digest: Digest, kind: ContentKind, { sizeBytes }: Word): boolean {
    if (kind === 'manifest') return true;
    const known = this.#deps.metadata.blobs.get(digest)?.sizeBytes;
    return sizeBytes !== undefined && (known === undefined || known === sizeBytes);
  }

  /** The type that was said, unless it contradicts what the document was found to be. */
  #typed(digest: Digest, { shown, mediaType = '' }: Word): Word {
    const known = this.#deps.metadata.manifests.get(digest)?.mediaType ?? '';
    const isOdd = isManifestType(known) && isIndexType(known) !== isIndexType(mediaType);
    return isManifestType(mediaType) && !isOdd ? { shown, mediaType } : { shown };
  }

  #link(key: RepositoryKey, digest: Digest, kind: ContentKind, { shown, mediaType }: Word): void {
    this.#words.delete(wordText(key, digest, kind));
    this.#deps.metadata.links.add(key, digest, kind, { origin: originOf(shown), mediaType });
  }

  #worth(key: RepositoryKey, { origin }: LinkRecord): Standing {
    const policy = this.#deps.upstreams.get(key.upstream);
    if (policy === undefined) return 'none';
    switch (origin.kind) {
      case 'anonymous':
      case 'operator':
        return 'good';
      case 'client':
        return 'none';
      case 'legacy':
        return policy.access === 'public' ? 'withheld' : this.#deps.options.offline ? 'good' : 'held';
      case 'credential': {
        const isCurrent = policy.upstream.isAt(origin.place);
        // A certificate is shown with every request, so whoever reaches weir may read what it can.
        if (policy.access === 'public') return isCurrent && origin.place === certificatePlace ? 'good' : 'withheld';
        return isCurrent || this.#deps.options.offline ? 'good' : 'held';
      }
    }
  }

  /** Where rules say who may read what, a blob needs its own word. There are no rules yet. */
  #mayCut(key: RepositoryKey): boolean {
    return this.#deps.upstreams.has(key.upstream);
  }

  #policy(key: RepositoryKey): UpstreamPolicy {
    const policy = this.#deps.upstreams.get(key.upstream);
    if (policy !== undefined) return policy;
    throw new CacheError('nameUnknown', key.upstream, `no upstream ${key.upstream} is configured`);
  }
}

function wordText(key: RepositoryKey, digest: Digest, kind: ContentKind): string {
  return `${kind} ${contentText(key, digest)}`;
}
