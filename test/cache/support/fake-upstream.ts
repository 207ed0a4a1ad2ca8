/**
 * An upstream whose content and moods a test sets: it notes every question, holds answers at a gate, and fails on demand.
 * No bytes travel; for those there is the scripted upstream.
 */
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { type Reference, referenceText, type Repository } from '../../../src/oci/reference.ts';
import { UpstreamError, type UpstreamErrorKind } from '../../../src/upstream/contract/errors.ts';
import type { TransferSlot } from '../../../src/upstream/contract/transfer-slot.ts';
import type {
  BlobBody,
  BlobStat,
  ListingPage,
  ManifestBody,
  ManifestHead,
  Upstream,
} from '../../../src/upstream/contract/upstream.ts';
import type { Gate } from '../../support/gate.ts';

export interface FakeManifest {
  readonly digest: Digest;
  readonly mediaType: string | undefined;
  readonly bytes: Uint8Array;
}

interface FakeRepository {
  readonly manifests: Map<Digest, FakeManifest>;
  readonly tags: Map<string, Digest>;
  readonly blobs: Set<Digest>;
  /** Pages of referrers by subject; the path of each is its index. */
  readonly referrers: Map<Digest, readonly (readonly unknown[])[]>;
  /** An anonymous client can read it. */
  isPublic: boolean;
}

/** What HEAD does not tell. */
type HeadField = keyof ManifestHead;

export class FakeUpstream implements Upstream {
  readonly key: string;
  hasCredential = false;
  /** Of the credential, which is shown with every question while there is one. */
  place = 'basic me';
  /** Every question in order, e.g. `HEAD library/alpine:3.20`, `PROBE …`, `TAGS …`. */
  readonly calls: string[] = [];
  /** While set, every question fails in this way. */
  mood: UpstreamErrorKind | undefined;
  /** While set, every question waits here, after it was noted. */
  gate: Gate | undefined;
  readonly headLacks = new Set<HeadField>();
  /** Sends these bytes instead of any manifest. */
  wrongBytes: Uint8Array | undefined;
  /** Sent instead of a page of tags. */
  tagsBody: string | undefined;
  /** The same for single pages, named as in `tagLinks`. */
  readonly tagPages = new Map<string, string>();
  /** Sent instead of a page of referrers. */
  referrersBody: string | undefined;
  /** `Link` targets by page, as the client would name the page: `n,last`. */
  readonly tagLinks = new Map<string, string>();
  /** How strangers are refused; undefined: with 401 where a repository is not public. */
  probeSays: UpstreamErrorKind | undefined;
  /** Manifests are there by tag only. */
  refusesDigests = false;
  hasReferrersApi = true;
  /** The page that the last page of referrers leads to, for loops. */
  referrersLoop: string | undefined;
  readonly #repositories = new Map<string, FakeRepository>();
  #running = 0;

  constructor(key = 'docker.io') {
    this.key = key;
  }

  /** Questions that wait for their answer. */
  get running(): number {
    return this.#running;
  }

  repository(name: string): FakeRepository {
    const known = this.#repositories.get(name);
    if (known !== undefined) return known;
    const made: FakeRepository = {
      manifests: new Map(),
      tags: new Map(),
      blobs: new Set(),
      referrers: new Map(),
      isPublic: true,
    };
    this.#repositories.set(name, made);
    return made;
  }

  /** Puts a manifest there, under a tag when one is given. */
  push(name: string, manifest: FakeManifest, tag?: string): FakeManifest {
    const repository = this.repository(name);
    repository.manifests.set(manifest.digest, manifest);
    if (tag !== undefined) repository.tags.set(tag, manifest.digest);
    return manifest;
  }

  /** Questions since the last call of this. */
  takeCalls(): readonly string[] {
    return this.calls.splice(0);
  }

  error(kind: UpstreamErrorKind, details: { status?: number; code?: string } = {}): UpstreamError {
    return new UpstreamError(kind, `${this.key}: ${kind}`, { upstream: this.key, ...details });
  }

  headManifest(repository: Repository, reference: Reference, signal: AbortSignal): Promise<ManifestHead> {
    return this.#ask(`HEAD ${named(repository, reference)}`, signal, () => {
      const { digest, mediaType, bytes } = this.#manifest(repository, reference);
      const head = { digest, mediaType, sizeBytes: bytes.byteLength };
      return {
        digest: this.headLacks.has('digest') ? undefined : head.digest,
        mediaType: this.headLacks.has('mediaType') ? undefined : head.mediaType,
        sizeBytes: this.headLacks.has('sizeBytes') ? undefined : head.sizeBytes,
        ...this.#shown,
      };
    });
  }

  getManifest(repository: Repository, reference: Reference, signal: AbortSignal): Promise<ManifestBody> {
    return this.#ask(`GET ${named(repository, reference)}`, signal, () => {
      const manifest = this.#manifest(repository, reference);
      const bytes = this.wrongBytes ?? manifest.bytes;
      const digest = this.headLacks.has('digest') ? undefined : manifest.digest;
      return { digest, mediaType: manifest.mediaType, sizeBytes: bytes.byteLength, bytes, ...this.#shown };
    });
  }

  transfer(): Promise<TransferSlot> {
    throw new Error('no bytes travel here');
  }

  openBlob(): Promise<BlobBody> {
    return Promise.reject(new Error('no blobs here'));
  }

  statBlob(repository: Repository, digest: Digest, signal: AbortSignal): Promise<BlobStat> {
    return this.#ask(`STAT ${repository}@${digest}`, signal, () => {
      if (!this.repository(repository).blobs.has(digest)) throw this.error('notFound', { code: 'BLOB_UNKNOWN' });
      return { sizeBytes: 1, ...this.#shown };
    });
  }

  listTags(
    repository: Repository,
    page: { n?: number; last?: string; path?: string },
    signal: AbortSignal,
  ): Promise<ListingPage> {
    const name = page.path ?? `${page.n ?? ''},${page.last ?? ''}`;
    return this.#ask(`TAGS ${repository} ${name}`, signal, () => {
      const { tags, manifests } = this.repository(repository);
      if (manifests.size === 0) throw this.error('notFound', { code: 'NAME_UNKNOWN' });
      const after = [...tags.keys()].toSorted().filter((tag) => page.last === undefined || tag > page.last);
      const cut = after.slice(0, page.n);
      const plain = cut.length < after.length ? `/v2/x/tags/list?n=${page.n}&last=${cut.at(-1)}` : undefined;
      const body = this.tagPages.get(name) ?? this.tagsBody ?? JSON.stringify({ name: repository, tags: cut });
      return listing(body, this.tagLinks.get(name) ?? plain);
    });
  }

  listReferrers(
    repository: Repository,
    digest: Digest,
    page: { path?: string },
    signal: AbortSignal,
  ): Promise<ListingPage> {
    return this.#ask(`REFERRERS ${repository}@${digest} ${page.path ?? ''}`.trimEnd(), signal, () => {
      if (!this.hasReferrersApi) throw this.error('unsupported', { status: 404 });
      const pages = this.repository(repository).referrers.get(digest) ?? [[]];
      const index = page.path === undefined ? 0 : Number(page.path.split('=').at(-1));
      const isLast = index + 1 >= pages.length;
      const next = isLast ? this.referrersLoop : `/v2/x/referrers/y?page=${index + 1}`;
      const manifests = pages[index] ?? [];
      const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
      return listing(this.referrersBody ?? body, next);
    });
  }

  /** The same registry as somebody without a credential sees it; what it is asked is noted here. */
  stranger(): Upstream {
    const ask = <T>(repository: Repository, call: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
      if (this.probeSays === undefined && this.repository(repository).isPublic) return this.#asNobody(work);
      return this.#ask(call, signal, () => {
        throw this.error(this.probeSays ?? 'denied', { status: 401 });
      });
    };
    return {
      key: this.key,
      hasCredential: false,
      isAt: () => false,
      headManifest: (repository, reference, signal) =>
        ask(repository, `HEAD ${named(repository, reference)}`, signal, () =>
          this.headManifest(repository, reference, signal),
        ),
      getManifest: (repository, reference, signal) =>
        ask(repository, `GET ${named(repository, reference)}`, signal, () =>
          this.getManifest(repository, reference, signal),
        ),
      statBlob: (repository, digest, signal) =>
        ask(repository, `STAT ${repository}@${digest}`, signal, () => this.statBlob(repository, digest, signal)),
      openBlob: () => this.openBlob(),
      transfer: () => this.transfer(),
      listTags: (repository, page, signal) =>
        ask(repository, `TAGS ${repository}`, signal, () => this.listTags(repository, page, signal)),
      listReferrers: (repository, digest, page, signal) =>
        ask(repository, `REFERRERS ${repository}@${digest}`, signal, () =>
          this.listReferrers(repository, digest, page, signal),
        ),
      close: () => Promise.resolve(),
    };
  }

  isAt(place: string): boolean {
    return this.hasCredential && place === this.place;
  }

  async #asNobody<T>(work: () => Promise<T>): Promise<T> {
    const answer = await work();
    if (typeof answer === 'object' && answer !== null && 'shown' in answer) delete answer.shown;
    return answer;
  }

  get #shown(): { readonly shown?: string } {
    return this.hasCredential ? { shown: this.place } : {};
  }

  async close(): Promise<void> {}

  async #ask<T>(call: string, signal: AbortSignal, answer: () => T): Promise<T> {
    this.calls.push(call);
    this.#running++;
    try {
      await this.gate?.pass();
      if (signal.aborted) throw this.error('aborted');
      if (this.mood !== undefined) throw this.error(this.mood);
      return answer();
    } finally {
      this.#running--;
    }
  }

  #manifest(name: Repository, reference: Reference): FakeManifest {
    const repository = this.repository(name);
    const digest = reference.kind === 'tag' ? repository.tags.get(reference.tag) : reference.digest;
    if (this.refusesDigests && reference.kind === 'digest') throw this.error('notFound', { status: 404 });
    const manifest = digest === undefined ? undefined : repository.manifests.get(digest);
    if (manifest === undefined) throw this.error('notFound', { status: 404, code: 'MANIFEST_UNKNOWN' });
    return manifest;
  }
}

/** A small image manifest; each `mark` makes another one. */
export function imageManifest(mark: string, mediaType: string | undefined = mediaTypes.ociManifest): FakeManifest {
  const text = JSON.stringify({
    schemaVersion: 2,
    ...(mediaType === undefined ? {} : { mediaType }),
    config: { mediaType: mediaTypes.ociEmpty, digest: digestOf(`config ${mark}`), size: 2 },
    layers: [],
    annotations: { mark },
  });
  const bytes = new TextEncoder().encode(text);
  return { digest: digestOf(bytes), mediaType, bytes };
}

function listing(body: string, next: string | undefined): ListingPage {
  return { bytes: new TextEncoder().encode(body), contentType: mediaTypes.json, next };
}

function named(repository: Repository, reference: Reference): string {
  return `${repository}${reference.kind === 'tag' ? ':' : '@'}${referenceText(reference)}`;
}
