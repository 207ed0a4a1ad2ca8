/**
 * Who may be given what. Bytes are shared by digest; the right to read them is not: a repository may serve a digest
 * only over a link, and a link exists only because the upstream, asked through that repository, had it. What a link is
 * worth depends on whose word it rests on (`store/contract/origin.ts`) and on what is configured now.
 */
import type { Digest } from '../../oci/digest.ts';
import type { ContentKind, RepositoryKey } from '../../store/contract/metadata.ts';
import type { CacheError } from '../../fill/contract/errors.ts';
import type { Linker, Word } from '../../fill/contract/linker.ts';
import type { FromClient } from './cache.ts';

/**
 * `good`: serve it · `held`: ask first, and serve it if nobody answers · `withheld`: ask first, and refuse if nobody
 * answers · `none`: no link.
 */
export type Standing = 'good' | 'held' | 'withheld' | 'none';

export interface Rights extends Linker {
  /** What the repository's own link is worth. No I/O. */
  standing(key: RepositoryKey, digest: Digest, kind: ContentKind): Standing;
  /** `standing` is `good`. */
  isLinked(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean;
  /** A word that is remembered still counts: whoever was told it, or anybody, may be told now. No I/O. */
  counts(key: RepositoryKey, word: Pick<Word, 'shown'>): boolean;
  /** The upstream has said yes through this repository, in this run, to somebody who counts; it becomes a link when the bytes allow. No I/O. */
  hasWord(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean;
  /** A yes through this repository links what lies here: the bytes are public, or this upstream has sent them. No I/O. */
  isWordEnough(key: RepositoryKey, digest: Digest): boolean;
  /** A yes without the bytes. It links only if that is enough; a 200 to HEAD is no possession. */
  said(key: RepositoryKey, digest: Digest, kind: ContentKind, word: Word): void;
  /** Links a public blob that a manifest linked here names; resolves whether it did. Asks nobody. */
  shortCut(key: RepositoryKey, digest: Digest): Promise<boolean>;
  /**
   * Asks the upstream through that repository and takes its word. One question per key at a time. Resolves false when
   * nobody answered and the link is `held`: it counts then. Rejects with UpstreamError, and with CacheError `denied` when
   * nobody answered and it is `withheld`.
   */
  ask(key: RepositoryKey, digest: Digest, kind: ContentKind, signal: AbortSignal, from?: FromClient): Promise<boolean>;
  /** The refusal for a link that is `withheld`, said in the log once for each upstream. */
  withheld(key: RepositoryKey, cause: unknown): CacheError;
}
