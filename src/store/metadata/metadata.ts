/**
 * The truth about meaning: which tag, which media type, which repository may serve a digest, when it was last used.
 * The file system is the truth about bytes. Lost metadata is rebuilt from blobs and index.json.
 *
 * All calls are synchronous and cheap. Writes are visible to later reads of the same thread at once, and are committed
 * in batches (every 50 ms, and by `flush`); a kill may lose the last batch, which costs a re-check, never a wrong byte.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { LinkedManifest, RepositoryKey } from '../contract/metadata.ts';
import { MetadataDatabase } from '../sqlite/database.ts';
import { BlobRows } from './blobs.ts';
import { EdgeRows } from './edges.ts';
import { LinkRows } from './links.ts';
import { ListRows } from './lists.ts';
import { ManifestRows } from './manifests.ts';
import { ProvenanceRows } from './provenance.ts';
import { RepositoryRows } from './repositories.ts';
import { TagRows } from './tags.ts';
import { topManifests } from './unnamed.ts';

export interface MetadataOptions {
  /** A file, or `:memory:`. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For threads and commands beside the owner: nothing is remembered between calls, and writing throws. */
  readonly isReadOnly?: boolean;
}

export class Metadata {
  readonly database: MetadataDatabase;
  readonly blobs: BlobRows;
  readonly manifests: ManifestRows;
  readonly repositories: RepositoryRows;
  readonly tags: TagRows;
  /** Proofs that a repository may serve a digest. */
  readonly links: LinkRows;
  readonly provenance: ProvenanceRows;
  readonly edges: EdgeRows;
  readonly lists: ListRows;

  constructor(options: MetadataOptions) {
    const isOwner = options.isReadOnly !== true;
    this.database = new MetadataDatabase(options);
    this.blobs = new BlobRows(this.database, options.clock, isOwner);
    this.manifests = new ManifestRows(this.database, isOwner);
    this.repositories = new RepositoryRows(this.database, options.clock, isOwner);
    this.tags = new TagRows(this.database, this.repositories, isOwner);
    this.links = new LinkRows(this.database, this.repositories, isOwner, () => this.tags.changed());
    this.provenance = new ProvenanceRows(this.database);
    this.edges = new EdgeRows(this.database, this.repositories, () => this.blobs.recount());
    this.lists = new ListRows(this.database);
  }

  /** Drops all links and tags of a repository. */
  forgetRepository(key: RepositoryKey): void {
    const id = this.repositories.id(key);
    if (id === undefined) return;
    this.links.forgetAllOf(id);
    this.tags.forgetAllOf(id);
  }

  /** Stored and linked manifests that no other one leads to, in pages, for index.json; some have tags. */
  topManifests(): Iterable<readonly LinkedManifest[]> {
    return topManifests(this.database);
  }

  flush(): void {
    this.database.flush();
  }

  close(): void {
    this.database.close();
  }
}
