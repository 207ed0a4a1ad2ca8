/** Upstream over HTTP: each call is a question to one endpoint after the other, under the limits of this upstream. */
import type { Clock } from '../lib/clock.ts';
import { abortReason } from '../lib/abort.ts';
import { Semaphore } from '../lib/semaphore.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/reference.ts';
import { Bandwidth } from './bandwidth.ts';
import { openBlobAt, statBlobAt } from './blobs.ts';
import type { Endpoint } from './endpoint.ts';
import type { AskOptions, Endpoints, Work } from './endpoints.ts';
import { UpstreamError } from './errors.ts';
import { failure } from './failure.ts';
import type { Breaker } from './limits.ts';
import { listReferrersAt, listTagsAt, referrersPage, tagsPage } from './listings.ts';
import { getManifestAt, headManifestAt } from './manifests.ts';
import { transferOf } from './transfer.ts';
import type { BlobBody, BlobRequest, ListingPage, ManifestBody, ManifestHead, Upstream } from './upstream.ts';

export interface RegistryClientOptions {
  readonly key: string;
  readonly endpoints: readonly Endpoint[];
  /** Asks those endpoints. */
  readonly asking: Endpoints;
  readonly breaker: Breaker;
  /** Blob transfers at once. */
  readonly connections: number;
  /** Bytes per second over all blob transfers; undefined: unlimited. */
  readonly bandwidth: number | undefined;
  /** Never dial. */
  readonly isOffline: boolean;
  readonly clock: Pick<Clock, 'now' | 'monotonic' | 'sleep'>;
}

export class RegistryClient implements Upstream {
  readonly key: string;
  readonly #options: RegistryClientOptions;
  readonly #transfers: Semaphore;
  readonly #bandwidth: Bandwidth | undefined;

  constructor(options: RegistryClientOptions) {
    this.key = options.key;
    this.#options = options;
    this.#transfers = new Semaphore(options.connections);
    const { bandwidth, clock } = options;
    this.#bandwidth = bandwidth === undefined ? undefined : new Bandwidth(bandwidth, clock);
  }

  get hasCredential(): boolean {
    return this.#options.endpoints.some(({ authorizer, url }) => authorizer.mayUseCredential(url));
  }

  headManifest(repository: Repository, reference: Reference, signal: AbortSignal): Promise<ManifestHead> {
    const question = { repository, reference, isAnonymous: false };
    return this.#ask((endpoint, attempt) => headManifestAt(endpoint, question, attempt, this.#now()), signal);
  }

  getManifest(repository: Repository, reference: Reference, signal: AbortSignal): Promise<ManifestBody> {
    const question = { repository, reference, isAnonymous: false };
    return this.#ask((endpoint, attempt) => getManifestAt(endpoint, question, attempt, this.#now()), signal);
  }

  async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    this.#check();
    const { repository, digest, range, avoidEndpoints, isSpare = false } = request;
    const permit = isSpare ? this.#spareTransfer() : await this.#transfer(signal);
    const end = (): void => permit[Symbol.dispose]();
    const question = { repository, digest, isAnonymous: false };
    try {
      return await this.#ask(
        async (endpoint, attempt) => {
          const { answer, response } = await openBlobAt(endpoint, question, range, attempt, this.#now());
          const transfer = { upstream: this.key, bandwidth: this.#bandwidth, signal, onEnd: end };
          return { endpoint: endpoint.name, answer, ...transferOf(response, transfer) };
        },
        signal,
        { ...(avoidEndpoints && { avoid: avoidEndpoints }), isSpare },
      );
    } catch (error) {
      end();
      throw error;
    }
  }

  async statBlob(
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number | undefined }> {
    const question = { repository, digest, isAnonymous: false };
    const sizeBytes = await this.#ask(
      (endpoint, attempt) => statBlobAt(endpoint, question, attempt, this.#now()),
      signal,
    );
    return { sizeBytes };
  }

  async listTags(
    repository: Repository,
    page: { n?: number; last?: string; path?: string },
    signal: AbortSignal,
  ): Promise<ListingPage> {
    const question = tagsPage(this.key, { repository, ...page });
    return this.#ask((endpoint, attempt) => listTagsAt(endpoint, question, attempt, this.#now()), signal);
  }

  async listReferrers(
    repository: Repository,
    digest: Digest,
    page: { path?: string },
    signal: AbortSignal,
  ): Promise<ListingPage> {
    const question = referrersPage(this.key, repository, digest, page.path);
    return this.#ask((endpoint, attempt) => listReferrersAt(endpoint, question, attempt, this.#now()), signal);
  }

  async probeAnonymous(
    repository: Repository,
    subject: Parameters<Upstream['probeAnonymous']>[1],
    signal: AbortSignal,
  ): Promise<boolean> {
    const nobody = { repository, isAnonymous: true };
    try {
      await this.#ask<unknown>(
        (endpoint, attempt) =>
          subject.kind === 'manifest'
            ? headManifestAt(endpoint, { ...nobody, reference: subject.reference }, attempt, this.#now())
            : statBlobAt(endpoint, { ...nobody, digest: subject.digest }, attempt, this.#now()),
        signal,
      );
      return true;
    } catch (error) {
      // Registries hide what is private behind either.
      if (error instanceof UpstreamError && (error.kind === 'denied' || error.kind === 'notFound')) return false;
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const { authorizer, anonymous } of this.#options.endpoints) {
      authorizer.close();
      anonymous.close();
    }
    await Promise.all(this.#options.endpoints.map(({ sender }) => sender.close()));
  }

  async #ask<T>(work: Work<T>, signal: AbortSignal, options?: AskOptions): Promise<T> {
    this.#check();
    return this.#options.asking.ask(work, signal, options);
  }

  #transfer(signal: AbortSignal): Promise<Disposable> {
    return this.#transfers.acquire('normal', signal).catch(() => {
      throw failure('aborted', this.key, 'given up by the caller', abortReason(signal));
    });
  }

  /** One that nobody waits for, or none. */
  #spareTransfer(): Disposable {
    if (this.#options.breaker.isOpen) throw failure('breakerOpen', this.key, `${this.key} failed lately`);
    // What is held back by us comes no faster over two.
    const permit = this.#bandwidth === undefined ? this.#transfers.tryAcquire() : undefined;
    if (permit === undefined) throw failure('rateLimited', this.key, 'no connection is to spare');
    return permit;
  }

  /** Throws while this upstream must not be dialled. */
  #check(): void {
    if (this.#options.isOffline) throw failure('offline', this.key, `${this.key} is not asked: offline`);
    this.#options.breaker.check();
  }

  /** Wall time: what a Retry-After date is compared with. */
  #now(): number {
    return this.#options.clock.now();
  }
}
