/**
 * One registry behind `access: public`: everything is asked for as a stranger, so that what is shown to clients is what
 * the registry shows to anybody. The credential only raises limits: it fetches manifests whose digest a stranger was just
 * told, and blobs that a stranger has seen, after strangers were limited. Losing it costs that and nothing more.
 */
import type { Logger } from '../lib/log.ts';
import { type Digest, digestAlgorithm } from '../oci/digest.ts';
import { isManifestType } from '../oci/media-type.ts';
import { type Reference, referenceText, type Repository } from '../oci/reference.ts';
import { UpstreamError } from './contract/errors.ts';
import { lruOf } from '../lib/lru.ts';
import type { Behind } from './contract/question.ts';
import type {
  BlobBody,
  BlobRequest,
  BlobStat,
  ListingPage,
  ManifestBody,
  ManifestHead,
  Upstream,
  UpstreamEvents,
} from './contract/upstream.ts';

export interface PublicUpstreamOptions {
  /** Has no credential. */
  readonly stranger: Upstream;
  /** The same registry, asked with the credential. */
  readonly member: Upstream;
  readonly logger: Logger;
  readonly events: Pick<UpstreamEvents, 'upstreamRejected'>;
}

const maxProved = 8192;

export class PublicUpstream implements Upstream {
  readonly key: string;
  readonly #options: PublicUpstreamOptions;
  /** What strangers were last told that a reference names. */
  readonly #named = lruOf<string, Digest>(maxProved);
  /** Blobs that strangers get, with the size that they were told: a page that strangers are led to has another. */
  readonly #seen = lruOf<string, number>(maxProved);
  #isCredentialRefused = false;

  constructor(options: PublicUpstreamOptions) {
    this.key = options.stranger.key;
    this.#options = options;
  }

  get hasCredential(): boolean {
    return this.#options.member.hasCredential;
  }

  get answeredAtMs(): number | undefined {
    return this.#options.stranger.answeredAtMs;
  }

  /** A client certificate is shown by strangers too; no credential gives a word here. */
  isAt(place: string): boolean {
    return this.#options.stranger.isAt(place);
  }

  headManifest(...question: Parameters<Upstream['headManifest']>): Promise<ManifestHead> {
    return this.#options.stranger.headManifest(...question);
  }

  async getManifest(
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ManifestBody> {
    const { stranger } = this.#options;
    const told = this.hasCredential ? await this.#askedBefore(repository, reference, signal, behind) : undefined;
    const brought = told === undefined ? undefined : await this.#byMember(repository, told.digest, signal, behind);
    if (told === undefined || brought === undefined) return stranger.getManifest(repository, reference, signal, behind);
    const { shown: _, ...body } = brought;
    return { ...body, digest: told.digest, ...(told.shown !== undefined && { shown: told.shown }) };
  }

  async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    const { stranger, member } = this.#options;
    const text = `${request.repository} ${request.digest}`;
    try {
      const body = await stranger.openBlob(request, signal);
      this.#see(text, sizeOf(body));
      return body;
    } catch (error) {
      if (!isLimited(error) || request.isOpportunistic === true || !this.hasCredential) throw error;
      const { repository, digest, party } = request;
      const behind = { client: party && [...party.clients][0], isAwaited: party?.priority !== 'low' };
      if (!this.#seen.has(text)) await this.statBlob(repository, digest, signal, behind);
      // The slot was the stranger's.
      const { slot: _slot, ...anew } = request;
      const sizeBytes = this.#seen.get(text);
      if (sizeBytes === undefined) throw error;
      const { shown: _shown, ...body } = await member.openBlob(anew, signal);
      if (sizeOf(body) === sizeBytes) return body;
      body.abort();
      throw error;
    }
  }

  transfer(...terms: Parameters<Upstream['transfer']>): ReturnType<Upstream['transfer']> {
    return this.#options.stranger.transfer(...terms);
  }

  async statBlob(repository: Repository, digest: Digest, signal: AbortSignal, behind?: Behind): Promise<BlobStat> {
    const stat = await this.#options.stranger.statBlob(repository, digest, signal, behind);
    this.#see(`${repository} ${digest}`, stat.sizeBytes);
    return stat;
  }

  #see(text: string, sizeBytes: number | undefined): void {
    if (sizeBytes !== undefined) this.#seen.set(text, sizeBytes);
  }

  listTags(...question: Parameters<Upstream['listTags']>): Promise<ListingPage> {
    return this.#options.stranger.listTags(...question);
  }

  listReferrers(...question: Parameters<Upstream['listReferrers']>): Promise<ListingPage> {
    return this.#options.stranger.listReferrers(...question);
  }

  async close(): Promise<void> {
    await Promise.all([this.#options.stranger.close(), this.#options.member.close()]);
  }

  /** The digest that the credential may be used for; undefined where no stranger was told one. */
  async #askedBefore(
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<{ readonly digest: Digest; readonly shown?: string } | undefined> {
    const text = `${repository} ${referenceText(reference)}`;
    try {
      const head = await this.#options.stranger.headManifest(repository, reference, signal, behind);
      const digest = provedBy(head, reference);
      if (digest === undefined) return undefined;
      this.#named.set(text, digest);
      return { digest, ...(head.shown !== undefined && { shown: head.shown }) };
    } catch (error) {
      const digest = isLimited(error) ? this.#named.get(text) : undefined;
      if (digest === undefined) throw error;
      return { digest };
    }
  }

  /** Undefined where the credential does not help. */
  async #byMember(
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
    behind?: Behind,
  ): Promise<ManifestBody | undefined> {
    const { member, logger, events } = this.#options;
    try {
      const body = await member.getManifest(repository, { kind: 'digest', digest }, signal, behind);
      if (this.#isCredentialRefused) logger.info({ upstream: this.key }, 'the credential is taken again');
      this.#isCredentialRefused = false;
      return body;
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.kind === 'aborted') throw error;
      if (error.kind !== 'credentialRefused') return undefined;
      events.upstreamRejected({ upstream: this.key, reason: 'credential' });
      if (!this.#isCredentialRefused) {
        const message = 'the credential is refused; going on as a stranger, under the limits that strangers have';
        logger.error({ upstream: this.key, err: error }, message);
      }
      this.#isCredentialRefused = true;
      return undefined;
    }
  }
}

/**
 * What a stranger's answer proves that the reference names. A page that strangers are led to has neither a manifest's type
 * nor the digest, and what lies outside of the registry may be any page.
 */
export function provedBy(head: ManifestHead, reference: Reference): Digest | undefined {
  const isManifest = isManifestType(head.mediaType ?? '');
  if (reference.kind === 'tag') return isManifest ? head.digest : undefined;
  const { digest } = reference;
  if (head.digest === digest) return digest;
  if (head.digest !== undefined && digestAlgorithm(head.digest) === digestAlgorithm(digest)) return undefined;
  return isManifest && head.isElsewhere !== true ? digest : undefined;
}

function sizeOf({ answer }: Pick<BlobBody, 'answer'>): number | undefined {
  return answer.kind === 'whole' ? answer.sizeBytes : answer.totalBytes;
}

function isLimited(error: unknown): boolean {
  return error instanceof UpstreamError && (error.kind === 'rateLimited' || error.kind === 'breakerOpen');
}
