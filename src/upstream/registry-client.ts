/** Upstream over HTTP: each call is a question to one endpoint after the other, under the limits of this upstream. */
import type { Clock } from '../lib/clock.ts';
import { abortReason } from '../lib/abort.ts';
import { Party } from '../lib/party.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/reference.ts';
import { Bandwidth, type Flow } from './bandwidth.ts';
import { openBlobAt, statBlobAt } from './blobs.ts';
import type { Endpoint } from './endpoint.ts';
import type { AskOptions, Endpoints, Work } from './endpoints.ts';
import { UpstreamError } from './errors.ts';
import { failure } from './failure.ts';
import { Breaker } from './limits.ts';
import { listReferrersAt, listTagsAt, referrersPage, tagsPage } from './listings.ts';
import { getManifestAt, headManifestAt } from './manifests.ts';
import { below } from './prefix.ts';
import { transferOf } from './transfer.ts';
import { type TransferSlot, Transfers, type TransferTerms } from './transfers.ts';
import type { BlobBody, BlobRequest, ListingPage, ManifestBody, ManifestHead, Upstream } from './upstream.ts';

export interface RegistryClientOptions {
  readonly key: string;
  /** Stands before every repository's name. */
  readonly prefix?: string | undefined;
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
  readonly clock: Pick<Clock, 'now' | 'monotonic' | 'setTimer'>;
}

/** What nobody waits for shares one turn of the bandwidth, of a quarter of what a blob gets that somebody waits for. */
const lowFlow: Flow = { name: 'low', weight: 0.25 };

export class RegistryClient implements Upstream {
  readonly key: string;
  readonly #options: RegistryClientOptions;
  readonly #transfers: Transfers;
  readonly #bandwidth: Bandwidth | undefined;
  /** Strangers have limits of their own, by address, which a credential is often there to lift: theirs stop only them. */
  readonly #strangers: Breaker;

  constructor(options: RegistryClientOptions) {
    this.key = options.key;
    this.#options = options;
    this.#transfers = new Transfers(options.key, options.connections);
    const { key, bandwidth, clock } = options;
    const reason = 'limits anonymous questions, and only they tell whether a repository is public';
    this.#strangers = new Breaker({ upstream: key, clock, reason });
    this.#bandwidth = bandwidth === undefined ? undefined : new Bandwidth(bandwidth, clock);
  }

  get hasCredential(): boolean {
    return this.#options.endpoints.some(({ authorizer, url }) => authorizer.mayUseCredential(url));
  }

  async headManifest(repository: Repository, reference: Reference, signal: AbortSignal): Promise<ManifestHead> {
    const question = { repository: this.#there(repository), reference, isAnonymous: false };
    return this.#ask((endpoint, attempt) => headManifestAt(endpoint, question, attempt, this.#now()), signal);
  }

  async getManifest(repository: Repository, reference: Reference, signal: AbortSignal): Promise<ManifestBody> {
    const question = { repository: this.#there(repository), reference, isAnonymous: false };
    return this.#ask((endpoint, attempt) => getManifestAt(endpoint, question, attempt, this.#now()), signal);
  }

  async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    const { party = new Party('normal'), isSpare = false } = request;
    let { slot } = request;
    try {
      this.#check();
      // The first to be asked after an outage is one that somebody waits for.
      if ((isSpare || party.lane === 'low') && this.#options.breaker.isOpen)
        throw failure('breakerOpen', this.key, `${this.key} failed lately and is not asked`);
      const terms = { ...request, party };
      slot ??= isSpare ? this.#spareTransfer(terms) : await this.transfer(terms, signal);
      return await this.#openBlob(request, slot, AbortSignal.any([signal, slot.wanted]));
    } catch (error) {
      slot?.release();
      throw slot?.wanted.aborted === true && !signal.aborted ? abortReason(slot.wanted) : error;
    }
  }

  transfer({ party, isContinued, mayBeTaken }: TransferTerms, signal: AbortSignal): Promise<TransferSlot> {
    return this.#transfers.acquire({ party, isContinued, mayBeTaken }, signal);
  }

  async #openBlob(
    { repository, digest, range, avoidEndpoints, line, isSpare = false }: BlobRequest,
    slot: TransferSlot,
    signal: AbortSignal,
  ): Promise<BlobBody> {
    const { party, wanted } = slot;
    const onEnd = (): void => slot.release();
    const question = { repository: this.#there(repository), digest, isAnonymous: false, line };
    const pace = this.#bandwidth && {
      bandwidth: this.#bandwidth,
      flow: () => (party.lane === 'low' ? lowFlow : { name: digest, weight: 1 }),
    };
    const work: Work<BlobBody> = async (endpoint, attempt) => {
      const { answer, response } = await openBlobAt(endpoint, question, range, attempt, this.#now());
      const transfer = { upstream: this.key, pace, signal, wanted, onEnd };
      return { endpoint: endpoint.name, answer, ...transferOf(response, transfer) };
    };
    const isAwaited = party.lane !== 'low';
    return this.#ask(work, signal, { ...(avoidEndpoints && { avoid: avoidEndpoints }), isSpare, isAwaited });
  }

  async statBlob(
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number | undefined }> {
    const question = { repository: this.#there(repository), digest, isAnonymous: false };
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
    const question = tagsPage(this.key, { repository: this.#there(repository), ...page });
    return this.#ask((endpoint, attempt) => listTagsAt(endpoint, question, attempt, this.#now()), signal);
  }

  async listReferrers(
    repository: Repository,
    digest: Digest,
    page: { path?: string },
    signal: AbortSignal,
  ): Promise<ListingPage> {
    const question = referrersPage(this.key, this.#there(repository), digest, page.path);
    return this.#ask((endpoint, attempt) => listReferrersAt(endpoint, question, attempt, this.#now()), signal);
  }

  async probeAnonymous(
    repository: Repository,
    subject: Parameters<Upstream['probeAnonymous']>[1],
    signal: AbortSignal,
  ): Promise<boolean> {
    const nobody = { repository: this.#there(repository), isAnonymous: true };
    const permit = this.#strangers.enter();
    try {
      await this.#ask<unknown>(
        (endpoint, attempt) =>
          subject.kind === 'manifest'
            ? headManifestAt(endpoint, { ...nobody, reference: subject.reference }, attempt, this.#now())
            : statBlobAt(endpoint, { ...nobody, digest: subject.digest }, attempt, this.#now()),
        signal,
        { isStranger: true },
      );
      permit.succeeded();
      return true;
    } catch (error) {
      const kind = error instanceof UpstreamError ? error.kind : undefined;
      // Registries hide what is private behind either.
      const isNo = kind === 'denied' || kind === 'notFound';
      if (isNo) permit.succeeded();
      else if (error instanceof UpstreamError && kind === 'rateLimited') permit.failed(error);
      else permit.abandoned();
      if (isNo) return false;
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

  #there(repository: Repository): Repository {
    return below(this.#options.prefix, repository, this.key);
  }

  async #ask<T>(work: Work<T>, signal: AbortSignal, options?: AskOptions): Promise<T> {
    this.#check();
    return this.#options.asking.ask(work, signal, options);
  }

  /** One that nobody waits for, or none. */
  #spareTransfer({ party }: TransferTerms): TransferSlot {
    // What is held back by us comes no faster over two.
    const slot = this.#bandwidth === undefined ? this.#transfers.spare({ party }) : undefined;
    if (slot === undefined) throw failure('rateLimited', this.key, 'no connection is to spare');
    return slot;
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
