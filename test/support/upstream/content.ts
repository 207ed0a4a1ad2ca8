/** What a scripted registry holds. Several upstreams may share one, as the endpoints of one registry do. */
import { type ByteSource, digestOfSource, sourceOf } from '../byte-source.ts';
import { allManifests, type BuiltManifest } from '../image-builder.ts';

export interface StoredManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

interface StoredRepository {
  readonly blobs: Map<string, ByteSource>;
  readonly manifests: Map<string, StoredManifest>;
  readonly tags: Map<string, string>;
}

export class RegistryContent {
  readonly #repositories = new Map<string, StoredRepository>();

  get repositories(): readonly string[] {
    return [...this.#repositories.keys()].toSorted();
  }

  has(repository: string): boolean {
    return this.#repositories.has(repository);
  }

  /** Adds a blob and returns its digest. A digest may be given to store content under a wrong name. */
  addBlob(repository: string, content: ByteSource | Uint8Array | string, digest?: string): string {
    const source = typeof content === 'string' || content instanceof Uint8Array ? sourceOf(content) : content;
    const name = digest ?? digestOfSource(source);
    this.#repository(repository).blobs.set(name, source);
    return name;
  }

  /** Adds a manifest and returns its digest. */
  addManifest(repository: string, bytes: Uint8Array | string, mediaType: string, digest?: string): string {
    const source = sourceOf(bytes);
    const name = digest ?? digestOfSource(source);
    this.#repository(repository).manifests.set(name, { bytes: source.bytes(0, source.sizeBytes), mediaType });
    return name;
  }

  /** Adds an image, index or artifact with everything below it, and binds the tags to it. Returns its digest. */
  add(repository: string, root: BuiltManifest, ...tags: readonly string[]): string {
    for (const manifest of allManifests(root)) {
      for (const { bytes, digest } of manifest.blobs) this.addBlob(repository, bytes, digest);
      this.addManifest(repository, manifest.bytes, manifest.mediaType, manifest.digest);
    }
    for (const tag of tags) this.tag(repository, tag, root.digest);
    return root.digest;
  }

  tag(repository: string, tag: string, digest: string): void {
    this.#repository(repository).tags.set(tag, digest);
  }

  removeTag(repository: string, tag: string): void {
    this.#repositories.get(repository)?.tags.delete(tag);
  }

  /** Removes a blob or a manifest of that digest. */
  remove(repository: string, digest: string): void {
    this.#repositories.get(repository)?.blobs.delete(digest);
    this.#repositories.get(repository)?.manifests.delete(digest);
  }

  removeRepository(repository: string): void {
    this.#repositories.delete(repository);
  }

  blob(repository: string, digest: string): ByteSource | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** The blob wherever it is, as a file server behind a registry would have it. */
  anyBlob(digest: string): ByteSource | undefined {
    for (const { blobs } of this.#repositories.values()) {
      const found = blobs.get(digest);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  manifest(repository: string, reference: string): (StoredManifest & { readonly digest: string }) | undefined {
    const stored = this.#repositories.get(repository);
    const digest = reference.includes(':') ? reference : stored?.tags.get(reference);
    const found = digest === undefined ? undefined : stored?.manifests.get(digest);
    return digest === undefined || found === undefined ? undefined : { ...found, digest };
  }

  tags(repository: string): readonly string[] {
    return [...(this.#repositories.get(repository)?.tags.keys() ?? [])].toSorted();
  }

  /** Descriptors of the manifests whose subject is `digest`, as the referrers API lists them. */
  referrers(repository: string, digest: string): readonly Readonly<Record<string, unknown>>[] {
    return [...(this.#repositories.get(repository)?.manifests ?? [])].flatMap(([own, { bytes, mediaType }]) => {
      const document = JSON.parse(Buffer.from(bytes).toString()) as ManifestDocument;
      if (document.subject?.digest !== digest) return [];
      const artifactType = document.artifactType ?? document.config?.mediaType;
      const { annotations } = document;
      return [{ mediaType, digest: own, size: bytes.length, artifactType, annotations }];
    });
  }

  #repository(name: string): StoredRepository {
    let stored = this.#repositories.get(name);
    if (stored === undefined) {
      stored = { blobs: new Map(), manifests: new Map(), tags: new Map() };
      this.#repositories.set(name, stored);
    }
    return stored;
  }
}

interface ManifestDocument {
  readonly subject?: { readonly digest?: string };
  readonly artifactType?: string;
  readonly config?: { readonly mediaType?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}
