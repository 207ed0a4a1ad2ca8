/** The catalog on SQLite. Each subject has its own rows file; this one puts them together. */
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import { BlobRows } from './blobs.ts';
import { CatalogDatabase } from '../sqlite/database.ts';
import type {
  Catalog,
  ContentKind,
  LinkRecord,
  LinkedManifest,
  ListedRepository,
  ListingRecord,
  ManifestRecord,
  Provenance,
  RepositoryKey,
  SealedBlob,
  TagKey,
  TagRecord,
} from '../contract/metadata.ts';
import { DocumentRows } from './manifests.ts';
import { LinkRows } from './links.ts';
import type { Origin } from '../contract/origin.ts';
import { ProvenanceRows } from './provenance.ts';
import type { FileStamp } from '../contract/file-stamp.ts';
import { RepositoryRows } from './repositories.ts';
import { TagRows } from './tags.ts';
import { topManifests } from './unnamed.ts';

export interface SqliteCatalogOptions {
  /** A file, or `:memory:`. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For threads and commands beside the owner: nothing is remembered between calls, and writing throws. */
  readonly isReadOnly?: boolean;
}

export class SqliteCatalog implements Catalog {
  readonly database: CatalogDatabase;
  readonly #blobs: BlobRows;
  readonly #documents: DocumentRows;
  readonly #repositories: RepositoryRows;
  readonly #links: LinkRows;
  readonly #provenance: ProvenanceRows;
  readonly #tags: TagRows;

  constructor(options: SqliteCatalogOptions) {
    const isOwner = options.isReadOnly !== true;
    this.database = new CatalogDatabase(options);
    this.#blobs = new BlobRows(this.database, options.clock, isOwner);
    this.#documents = new DocumentRows(this.database, isOwner);
    this.#repositories = new RepositoryRows(this.database, options.clock, isOwner);
    this.#links = new LinkRows(this.database, this.#repositories, isOwner);
    this.#provenance = new ProvenanceRows(this.database, this.#repositories);
    this.#tags = new TagRows(this.database, this.#repositories, isOwner);
  }

  sealed(digest: Digest): SealedBlob | undefined {
    return this.#blobs.sealed(digest);
  }

  recordSealed(blob: Parameters<Catalog['recordSealed']>[0]): void {
    this.#blobs.recordSealed(blob);
  }

  recordSuspect(blob: Parameters<Catalog['recordSuspect']>[0]): void {
    this.#blobs.recordSuspect(blob);
  }

  restamp(digest: Digest, stamp: FileStamp): void {
    this.#blobs.restamp(digest, stamp);
  }

  forgetSealed(digest: Digest): void {
    this.#blobs.forgetSealed(digest);
  }

  touch(digest: Digest): void {
    this.#blobs.touch(digest);
  }

  oldest(limit: number): readonly SealedBlob[] {
    return this.#blobs.oldest(limit);
  }

  oldestFirst(): Iterable<SealedBlob> {
    return this.#blobs.oldestFirst();
  }

  totals(): { readonly blobs: number; readonly allocatedBytes: number } {
    return this.#blobs.totals();
  }

  setBlobPinned(digest: Digest, isPinned: boolean): void {
    this.#blobs.setBlobPinned(digest, isPinned);
  }

  /** For recovery: like `sealed`, without remembering it. */
  peekSealed(digest: Digest): SealedBlob | undefined {
    return this.#blobs.peek(digest);
  }

  manifest(digest: Digest): ManifestRecord | undefined {
    return this.#documents.manifest(digest);
  }

  recordManifest(record: ManifestRecord): void {
    this.#documents.recordManifest(record);
  }

  link(key: RepositoryKey, digest: Digest, kind: ContentKind): LinkRecord | undefined {
    return this.#links.link(key, digest, kind);
  }

  hasLink(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean {
    return this.#links.link(key, digest, kind) !== undefined;
  }

  addLink(key: RepositoryKey, digest: Digest, kind: ContentKind, word: LinkRecord): void {
    if (this.#links.add(key, digest, kind, word) && kind === 'manifest') this.#tags.changed();
  }

  linksOf(digest: Digest, kind: ContentKind, limit: number): readonly RepositoryKey[] {
    return this.#links.linksOf(digest, kind, limit);
  }

  countOfCredentials(upstream: string): number {
    return this.#links.countOfCredentials(upstream);
  }

  addSender(digest: Digest, upstream: string, isPublic: boolean): void {
    this.#provenance.addSender(digest, upstream, isPublic);
  }

  provenance(digest: Digest, upstream: string): Provenance {
    return this.#provenance.provenance(digest, upstream);
  }

  recordEdges(parent: Digest, children: readonly Digest[] | undefined): void {
    this.#provenance.recordEdges(parent, children);
    this.#blobs.recount();
  }

  namedBy(key: RepositoryKey, child: Digest, limit: number): readonly (LinkRecord & { readonly digest: Digest })[] {
    return this.#provenance.namedBy(key, child, limit);
  }

  unreadManifests(key: RepositoryKey, limit: number): readonly (LinkRecord & { readonly digest: Digest })[] {
    return this.#provenance.unreadManifests(key, limit);
  }

  manifestsToRead(after: string, limit: number): readonly Digest[] {
    return this.#provenance.manifestsToRead(after, limit);
  }

  forgetRepository(key: RepositoryKey): void {
    const id = this.#repositories.id(key);
    if (id === undefined) return;
    this.#links.forgetLinksOf(id);
    this.#tags.forgetTagsOf(id);
  }

  tag(key: TagKey): TagRecord | undefined {
    return this.#tags.tag(key);
  }

  putTag(key: TagKey, record: TagRecord): void {
    this.#tags.putTag(key, record);
  }

  forgetTag(key: TagKey): void {
    this.#tags.forgetTag(key);
  }

  isTagPinned(key: TagKey): boolean {
    return this.#tags.isTagPinned(key);
  }

  setTagPinned(key: TagKey, isPinned: boolean): void {
    this.#tags.setTagPinned(key, isPinned);
  }

  tagsOf(key: RepositoryKey): readonly Tag[] {
    return this.#tags.tagsOf(key);
  }

  allTags(): Iterable<TagKey & TagRecord & { readonly origin: Origin }> {
    return this.#tags.allTags();
  }

  topManifests(): Iterable<readonly LinkedManifest[]> {
    return topManifests(this.database);
  }

  repositoriesOf(upstream: string, after = ''): Iterable<ListedRepository> {
    return this.#repositories.listOf(upstream, after);
  }

  listing(key: string): ListingRecord | undefined {
    return this.#documents.listing(key);
  }

  putListing(key: string, record: ListingRecord): void {
    this.#documents.putListing(key, record);
  }

  forgetListing(key: string): void {
    this.#documents.forgetListing(key);
  }

  onTagsChanged(listener: () => void): void {
    this.#tags.onTagsChanged(listener);
  }

  /** Tags were removed behind its back; index.json follows. */
  tagsGone(): void {
    this.#tags.changed();
  }

  flush(): void {
    this.database.flush();
  }

  close(): void {
    this.database.close();
  }
}
