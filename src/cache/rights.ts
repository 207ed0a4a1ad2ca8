/**
 * Who may be given what. Bytes are shared by digest; the right to read them is not: a repository may serve a digest
 * only over a link, and a link exists only because the upstream, asked through that repository, had it.
 */
import type { Digest } from '../oci/digest.ts';
import type { ContentKind, RepositoryKey } from '../store/catalog.ts';

export interface Rights {
  /**
   * Rejects with CacheError `denied` unless this repository may be served to an anonymous client (`access: public`
   * with a credential configured: an anonymous probe decides; otherwise at once). A verdict outlives an outage.
   */
  admit(
    key: RepositoryKey,
    subject: { readonly digest: Digest; readonly kind: ContentKind } | undefined,
    signal: AbortSignal,
  ): Promise<void>;
  /** For how many milliseconds from now `admit` needs to ask nobody; 0 when it has to. No I/O. */
  openForMs(key: RepositoryKey): number;
  /** A link exists, or the digest has one in a repository that is proven public. No I/O. */
  isLinked(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean;
  /** Asks the upstream through that repository, and links on success. Rejects with UpstreamError. One question per key at a time. */
  ask(key: RepositoryKey, digest: Digest, kind: ContentKind, signal: AbortSignal): Promise<void>;
}
