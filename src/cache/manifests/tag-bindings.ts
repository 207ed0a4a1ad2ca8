/**
 * What each tag points to. A binding whose manifest is stored lies in the catalog; one that was only heard of, by a HEAD
 * or while the store was full, lives in memory until its manifest arrives, so that no tag in the catalog points to nothing.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import type { ChangeCounters } from '../../lib/change-counters.ts';
import type { Digest } from '../../oci/digest.ts';
import { isIndexType } from '../../oci/media-type.ts';
import type { ManifestRecord, RepositoryKey, TagKey, TagRecord } from '../../store/contract/metadata.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import { type Age, ageOf, Ages, type Moment } from '../freshness/age.ts';
import { contentText, repositoryText, tagText } from '../../store/contract/keys.ts';
import { isAttachment } from './tag-ttl.ts';

export interface Binding extends TagRecord {
  /** It is in the catalog; otherwise it is only known to this process. */
  readonly isRecorded: boolean;
  /** Of one that is not: as `Shown` says it. */
  readonly shown?: string | undefined;
}

interface UnstoredTags {
  readonly key: TagKey;
  readonly record: TagRecord;
  readonly asked: Moment;
  readonly shown: string | undefined;
}

/** Tags that were heard of and whose manifests nobody has fetched. */
const maxUnstored = 4096;
/** Of one digest. More lead to the same few tags, mostly. */
const maxParents = 16;

export class TagBindings {
  readonly #metadata: Metadata;
  readonly #clock: Clock;
  readonly #ages: Ages;
  readonly #changes: ChangeCounters;
  readonly #unstored = new LRUCache<string, UnstoredTags>({ max: maxUnstored });
  /** When a repository was last said not to have a digest; monotonic. */
  readonly #lostAtMs = new LRUCache<string, number>({ max: maxUnstored });

  constructor(metadata: Metadata, clock: Clock, changes: ChangeCounters) {
    this.#metadata = metadata;
    this.#clock = clock;
    this.#ages = new Ages(clock);
    this.#changes = changes;
  }

  now(): Moment {
    return this.#ages.now();
  }

  /** The latest word of the upstream. */
  get(key: TagKey): Binding | undefined {
    const unstored = this.#unstored.get(tagText(key));
    return unstored === undefined
      ? this.recorded(key)
      : { ...unstored.record, isRecorded: false, shown: unstored.shown };
  }

  /** The latest one whose manifest was stored. */
  recorded(key: TagKey): Binding | undefined {
    const record = this.#metadata.tags.get(key);
    return record === undefined ? undefined : { ...record, isRecorded: true };
  }

  age(key: TagKey, binding: Binding): Age {
    const age = this.#ageOf(key, binding);
    const lostAtMs = this.#lostAtMs.get(contentText(key, binding.digest));
    const isDue = lostAtMs !== undefined && age.freshnessMs >= this.#clock.monotonic() - lostAtMs;
    return isDue ? { ...age, freshnessMs: Infinity } : age;
  }

  #ageOf(key: TagKey, binding: Binding): Age {
    const text = tagText(key);
    const unstored = binding.isRecorded ? undefined : this.#unstored.get(text);
    if (unstored === undefined) return this.#ages.of(text, binding.checkedAtMs);
    const elapsedMs = this.#clock.monotonic() - unstored.asked.monotonicMs;
    return ageOf(binding.checkedAtMs, this.#clock.now(), elapsedMs);
  }

  /** The upstream, asked at `asked`, says that the tag points to this manifest. */
  confirm(key: TagKey, { digest, mediaType, sizeBytes }: ManifestRecord, asked: Moment, shown?: string): Binding {
    const record = { digest, mediaType, sizeBytes, checkedAtMs: asked.wallMs, isDenied: false };
    const isRecorded = this.#metadata.manifests.get(digest) !== undefined;
    const content = contentText(key, digest);
    if ((this.#lostAtMs.get(content) ?? Infinity) <= asked.monotonicMs) this.#lostAtMs.delete(content);
    if (isRecorded) this.#record(key, record, asked);
    else this.#unstored.set(tagText(key), { key, record, asked, shown });
    this.#changed(key);
    return { ...record, isRecorded, shown };
  }

  /**
   * A manifest was given to somebody who asked this repository for it: tags that were waiting for it are bound if it is
   * stored.
   */
  arrived(repository: RepositoryKey, { digest, mediaType, sizeBytes }: ManifestRecord): void {
    if (this.#unstored.size === 0 || this.#metadata.manifests.get(digest) === undefined) return;
    for (const { key, record, asked } of this.#unstored.values()) {
      if (record.digest !== digest || key.repository !== repository.repository) continue;
      if (key.upstream !== repository.upstream) continue;
      this.#record(key, { ...record, mediaType, sizeBytes }, asked);
      this.#changed(key);
    }
  }

  /** 401 or 403: kept, but not served until the upstream confirms it again. */
  deny(key: TagKey): void {
    this.#unstored.delete(tagText(key));
    const record = this.#metadata.tags.get(key);
    if (record !== undefined && !record.isDenied) this.#metadata.tags.put(key, { ...record, isDenied: true });
    this.#changed(key);
  }

  /** 404: kept for an outage, unless it is a list, whose last word counts; as it is if somebody has pinned it. */
  forget(key: TagKey): void {
    this.#unstored.delete(tagText(key));
    const record = this.#metadata.tags.get(key);
    if (record !== undefined && !this.isPinned(key)) {
      if (isAttachment(key.tag)) this.#metadata.tags.forget(key);
      else this.#metadata.tags.put(key, { ...record, isDenied: true, isGone: true });
    }
    this.#changed(key);
  }

  /** 404 for a manifest: tags of that repository that point to it, or to an index of it, are due. */
  lost(repository: RepositoryKey, digest: Digest): void {
    this.#lose(repository, digest);
    for (const parent of this.#metadata.edges.namedBy(repository, digest, maxParents)) {
      // Whoever asks for a layer asks among manifests first (containerd), and that it is none says nothing.
      if (isIndexType(this.#metadata.manifests.get(parent.digest)?.mediaType ?? ''))
        this.#lose(repository, parent.digest);
    }
  }

  #lose(repository: RepositoryKey, digest: Digest): void {
    this.#lostAtMs.set(contentText(repository, digest), this.#clock.monotonic());
    this.#changes.bump(repositoryText(repository));
  }

  /** 404 for a blob: what names it, and what names that, is of no use any more. As far as edges are kept. */
  lostBelow(repository: RepositoryKey, digest: Digest): void {
    for (const parent of this.#metadata.edges.namedBy(repository, digest, maxParents)) {
      this.#lose(repository, parent.digest);
      for (const index of this.#metadata.edges.namedBy(repository, parent.digest, maxParents))
        this.#lose(repository, index.digest);
    }
  }

  isPinned(key: TagKey): boolean {
    return this.#metadata.tags.isPinned(key);
  }

  /** After the change, and before anybody is told of it. */
  #changed(key: TagKey): void {
    this.#changes.bump(repositoryText(key));
  }

  #record(key: TagKey, record: TagRecord, asked: Moment): void {
    this.#metadata.tags.put(key, record);
    this.#ages.mark(tagText(key), asked);
    this.#unstored.delete(tagText(key));
  }
}
