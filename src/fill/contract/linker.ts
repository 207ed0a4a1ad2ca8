/** What a fill learns about the right to what it brings, and whom it tells. */
import type { Digest } from '../../oci/digest.ts';
import type { ContentKind, RepositoryKey } from '../../store/contract/metadata.ts';

/** What an upstream said of a digest through a repository. */
export interface Word {
  /** As `Shown` says it; absent: anybody was told this. */
  readonly shown?: string | undefined;
  /** Of a manifest. */
  readonly mediaType?: string | undefined;
  /** Of a blob: without it a 200 is no word, since it may be any page. */
  readonly sizeBytes?: number | undefined;
}

export interface Linker {
  /** The bytes came through this repository, and were proved: links. */
  gave(key: RepositoryKey, digest: Digest, kind: ContentKind, word: Word): void;
}
