/** Upstream over HTTP: each call is a question to one endpoint after the other, under the limits of this upstream. */
import type { Clock } from '../lib/clock.ts';
import { abortReason } from '../lib/abort.ts';
import { Party } from '../lib/sharing/party.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/reference.ts';
import { Bandwidth, type Flow } from './limits/bandwidth.ts';
import { openBlobAt, statBlobAt } from './requests/blobs.ts';
import type { Endpoint } from './requests/endpoint.ts';
import { type AskOptions, type Endpoints, lateAfterMs, type Work } from './requests/failover.ts';
import { failure } from './contract/failure.ts';
import { listReferrersAt, listTagsAt, referrersPage, tagsPage } from './requests/lists.ts';
import { getManifestAt, headManifestAt } from './requests/manifests.ts';
import { below } from './requests/prefix.ts';
import { type Asker, type Behind, type Kind, manifestQuestion, type Question } from './contract/question.ts';
import { transferOf } from './requests/body.ts';
import { Transfers } from './limits/transfers.ts';
import type { TransferSlot, TransferTerms } from './contract/transfer-slot.ts';
import type {
  BlobBody,
  BlobRequest,
  BlobStat,
  ListingPage,
  ManifestBody,
  ManifestHead,
  Upstream,
} from './contract/upstream.ts';

export interface RegistryClientOptions {
  readonly key: string;
  /** Stands before every repository's name. */
  readonly prefix?: string | undefined;
  readonly endpoints: readonly Endpoint[];
  /** Asks those endpoints. */
  readonly asking: Endpoints;
  /** Blob transfers at once. */
  readonly connections: number;
  /** Bytes per second over all blob transfers; undefined: unlimited. */
  readonly bandwidth: number | undefined;
  /** Never dial. */
  readonly isOffline: boolean;
  readonly clock: Pick<Clock, 'now' | 'monotonic' | 'setTimer'>;
  /** Ends what the senders leave. */
  readonly onClose: () => void;
}

/** What nobody waits for shares one turn of the bandwidth, of a quarter of what a blob gets that somebody waits for. */
const lowFlow: Flow = { name: 'low', weight: 0.25 };

export class RegistryClient implements Upstream {
  readonly key: string;
  readonly #options: RegistryClientOptions;
  readonly #transfers: Transfers;
  readonly #bandwidth: Bandwidth | undefined;

  constructor(options: RegistryClientOptions) {
    this.key = options.key;
    this.#options = options;
    const { key, bandwidth, clock, connections } = options;
    this.#transfers = new Transfers(key, connections);
    this.#bandwidth = bandwidth === undefined ? undefined : new Bandwidth(bandwidth, clock);
  }

  get hasCredential(): boolean {
    return this.#options.endpoints.some(({ authorizer, url }) => authorizer.mayUseCredential(url));
  }

  isAt(place: string): boolean {
    return this.#options.endpoints.some(
      ({ authorizer, certificate, url }) => place === certificate || authorizer.isAt(place, url),
    );
  }

  get answeredAtMs(): number | undefined {
    return this.#options.asking.answeredAtMs;
  }

  async headManifest(
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ManifestHead> {
    const there = this.#there(repository);
    const asked = { repository: there, reference };
    const question = manifestQuestion('HEAD', there, reference, this.#asker, behind);
    return this.#ask(question, (endpoint, attempt) => headManifestAt(endpoint, asked, attempt, this.#now()), signal);
  }

  async getManifest(
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ManifestBody> {
    const there = this.#there(repository);
    const asked = { repository: there, reference };
    const question = manifestQuestion('GET', there, reference, this.#asker, behind);
    return this.#ask(question, (endpoint, attempt) => getManifestAt(endpoint, asked, attempt, this.#now()), signal);
  }

  async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    const { party = new Party('normal'), isOpportunistic = false } = request;
    let { slot } = request;
    try {
      // The first to be asked after an outage is one that somebody waits for.
      this.#check(!isOpportunistic && party.priority !== 'low');
      const terms = { ...request, party };
      slot ??= isOpportunistic ? this.#opportunisticTransfer(terms) : await this.transfer(terms, signal);
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
    { repository, digest, range, avoidEndpoints, worker, isOpportunistic = false }: BlobRequest,
    slot: TransferSlot,
    signal: AbortSignal,
  ): Promise<BlobBody> {
    const { party, wanted } = slot;
    const there = this.#there(repository);
    const asked = { repository: there, digest, worker, patience: slot.patience(this.#options.clock) };
    const flow = (): Flow => (party.priority === 'low' ? lowFlow : { name: digest, weight: 1 });
    const pace = this.#bandwidth && { bandwidth: this.#bandwidth, flow };
    const work: Work<BlobBody> = async (endpoint, attempt) => {
      const { answer, response, shown } = await openBlobAt(endpoint, asked, range, attempt, this.#now());
      const transfer = { upstream: this.key, pace, signal, wanted, onEnd: () => slot.release() };
      const named = { endpoint: endpoint.name, answer, ...(shown !== undefined && { shown }) };
      return { ...named, ...transferOf(response, transfer) };
    };
    // What is said to a range may be about ranges.
    const subject = range === undefined ? digest : `${digest} part`;
    const [client] = party.clients;
    const question = this.#question('blobs', 'GET', there, subject, { client, isAwaited: party.priority !== 'low' });
    using _late = this.#options.clock.setTimer(lateAfterMs, () => slot.stepAside());
    const body = await this.#ask(question, work, signal, {
      ...(avoidEndpoints && { avoid: avoidEndpoints }),
      isOpportunistic,
      isTransfer: true,
    });
    slot.stepBack();
    return body;
  }

  async statBlob(repository: Repository, digest: Digest, signal: AbortSignal, behind?: Behind): Promise<BlobStat> {
    const there = this.#there(repository);
    const asked = { repository: there, digest };
    const question = this.#question('blobs', 'HEAD', there, digest, behind);
    return this.#ask(question, (endpoint, attempt) => statBlobAt(endpoint, asked, attempt, this.#now()), signal);
  }

  async listTags(
    repository: Repository,
    page: { n?: number; last?: string; path?: string },
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ListingPage> {
    const there = this.#there(repository);
    const asked = tagsPage(this.key, { repository: there, ...page });
    const question = this.#question('lists', 'GET', there, asked.page, behind);
    return this.#ask(question, (endpoint, attempt) => listTagsAt(endpoint, asked, attempt, this.#now()), signal);
  }

  async listReferrers(
    repository: Repository,
    digest: Digest,
    page: { path?: string },
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ListingPage> {
    const there = this.#there(repository);
    const asked = referrersPage(this.key, there, digest, page.path);
    const question = this.#question('referrers', 'GET', there, asked.page, behind);
    return this.#ask(question, (endpoint, attempt) => listReferrersAt(endpoint, asked, attempt, this.#now()), signal);
  }

  async close(): Promise<void> {
    for (const { authorizer, anonymous } of this.#options.endpoints) {
      authorizer.close();
      anonymous.close();
    }
    this.#options.onClose();
    await Promise.all(this.#options.endpoints.map(({ sender }) => sender.close()));
  }

  #there(repository: Repository): Repository {
    return below(this.#options.prefix, repository, this.key);
  }

  async #ask<T>(question: Question, work: Work<T>, signal: AbortSignal, options?: AskOptions): Promise<T> {
    this.#check(question.isAwaited !== false);
    return this.#options.asking.ask(question, work, signal, options);
  }

  get #asker(): Asker {
    return this.hasCredential ? 'credential' : 'nobody';
  }

  #question(
    kind: Kind,
    method: Question['method'],
    repository: Repository,
    subject: string,
    behind?: Behind,
  ): Question {
    return { kind, method, repository, subject, asker: this.#asker, ...behind };
  }

  /** One that nobody waits for, or none. */
  #opportunisticTransfer({ party }: TransferTerms): TransferSlot {
    // What is held back by us comes no faster over two.
    const slot = this.#bandwidth === undefined ? this.#transfers.spare({ party }) : undefined;
    if (slot === undefined) throw failure('rateLimited', this.key, 'no connection is to spare');
    return slot;
  }

  /** Throws while this upstream must not be dialled, or cannot be. */
  #check(isAwaited: boolean): void {
    if (this.#options.isOffline) throw failure('offline', this.key, `${this.key} is not asked: offline`);
    this.#options.asking.check(isAwaited);
  }

  /** Wall time: what a Retry-After date is compared with. */
  #now(): number {
    return this.#options.clock.now();
  }
}
