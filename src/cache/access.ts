/** Rights as an upstream gives them: links for contents, an anonymous probe for repositories behind a credential. */
import { Coalesce } from '../lib/coalesce.ts';
import { type Digest, digestAlgorithm } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { ContentKind, RepositoryKey } from '../store/catalog.ts';
import { byAnybody } from '../store/origin.ts';
import { UpstreamError } from '../upstream/errors.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { CacheError } from './errors.ts';
import { contentText, repositoryText } from './keys.ts';
import { Negatives } from './negative.ts';
import type { UpstreamPolicy } from './policy.ts';
import type { ProbeSubject, RepositoryRights, RightsDeps } from './policy-deps.ts';
import { discoverTag, probe, type ProbeResult, subjectText } from './probe.ts';
import { Refresh } from './refresh.ts';
import { Verdicts } from './verdicts.ts';
import { isNotFound } from './refusals.ts';

/** How many repositories that hold a digest are looked at for a public one. */
const maxLinks = 32;
/** How many of them are asked about again, whose proof has become too old. */
const maxHeldLinks = 2;
/** How many known tags are tried when the thing asked for teaches nothing about its repository. */
const maxKnownTags = 2;

export function createRights(deps: RightsDeps): RepositoryRights {
  return new UpstreamRights(deps);
}

class UpstreamRights implements RepositoryRights {
  readonly #deps: RightsDeps;
  readonly #verdicts: Verdicts;
  readonly #probes: Refresh<'public' | 'private'>;
  readonly #questions = new Coalesce<void>();
  readonly #negatives: Negatives;

  constructor(deps: RightsDeps) {
    this.#deps = deps;
    this.#verdicts = new Verdicts(deps);
    this.#probes = new Refresh(deps.clock, deps.options, deps.overdue);
    this.#negatives = new Negatives(deps.clock);
  }

  async admit(key: RepositoryKey, subject: ProbeSubject | undefined, signal: AbortSignal): Promise<void> {
    const policy = this.#policy(key);
    if (!needsProof(policy)) return;
    const verdict = this.#verdicts.of(key);
    if (verdict === 'public') return;
    if (verdict === 'private') throw denied(key);
    if (verdict === 'ageing') {
      // Owned by the table of probes; whoever comes after the hour finds out what it told.
      void this.#prove(policy.upstream, key, subject, true, undefined).catch((error: unknown) => {
        this.#deps.logger.debug({ err: error, ...key }, 'the verdict could not be refreshed');
      });
      return;
    }
    const proof = await this.#prove(policy.upstream, key, subject, verdict === 'held', signal);
    if (proof === 'private') throw denied(key);
  }

  isOpen(key: RepositoryKey): boolean {
    const policy = this.#deps.upstreams.get(key.upstream);
    return policy !== undefined && (!needsProof(policy) || this.#verdicts.isProven(key));
  }

  openForMs(key: RepositoryKey): number {
    const policy = this.#deps.upstreams.get(key.upstream);
    if (policy === undefined) return 0;
    return needsProof(policy) ? this.#verdicts.publicForMs(key) : Infinity;
  }

  isLinked(key: RepositoryKey, digest: Digest, kind: ContentKind): boolean {
    const { catalog } = this.#deps;
    if (catalog.hasLink(key, digest, kind)) return true;
    return catalog.linksOf(digest, kind, maxLinks).some((other) => this.#isPublic(other));
  }

  async ask(key: RepositoryKey, digest: Digest, kind: ContentKind, signal: AbortSignal): Promise<void> {
    const { upstream } = this.#policy(key);
    const text = `${kind} ${contentText(key, digest)}`;
    this.#negatives.check(text);
    if (await this.#isHeldElsewhere(key, digest, kind, signal)) return;
    await this.#questions.run(text, (own) => this.#ask(upstream, key, digest, kind, own), signal);
  }

  close(): void {
    this.#probes.close();
    this.#questions.close();
  }

  async #ask(
    upstream: Upstream,
    key: RepositoryKey,
    digest: Digest,
    kind: ContentKind,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      if (kind === 'blob') await upstream.statBlob(key.repository, digest, signal);
      else await askManifest(upstream, key, digest, signal);
    } catch (error) {
      if (isNotFound(error)) {
        this.#negatives.remember(`${kind} ${contentText(key, digest)}`, error, this.#deps.options.negativeTtlMs);
      }
      throw error;
    }
    this.#deps.catalog.addLink(key, digest, kind, { origin: byAnybody });
  }

  /**
   * Asks, and records the verdict. With `isHeld` the old positive one counts when no answer comes in time, or when
   * nothing could be learnt; the thing asked for does not matter then, so all clients share one question.
   */
  async #prove(
    upstream: Upstream,
    key: RepositoryKey,
    subject: ProbeSubject | undefined,
    isHeld: boolean,
    signal: AbortSignal | undefined,
  ): Promise<'public' | 'private'> {
    const text = `${repositoryText(key)} ${isHeld || subject === undefined ? '' : subjectText(subject)}`;
    if (!isHeld) this.#negatives.check(text);
    const proof = await this.#probes.run(
      { key: text, upstream: key.upstream, hasStale: isHeld },
      async (own) => {
        const result = await this.#probe(upstream, key, subject, own);
        if (typeof result === 'string') return result;
        if (isHeld) throw new UpstreamError('badResponse', 'no word about the repository', { upstream: key.upstream });
        this.#negatives.remember(text, result, this.#deps.options.negativeTtlMs);
        throw result;
      },
      signal,
    );
    if (proof.kind === 'answered') return proof.value;
    if (isHeld) {
      this.#verdicts.hold(key);
      return 'public';
    }
    throw proof.error ?? new UpstreamError('timeout', 'no answer', { upstream: key.upstream });
  }

  async #probe(
    upstream: Upstream,
    key: RepositoryKey,
    subject: ProbeSubject | undefined,
    signal: AbortSignal,
  ): Promise<ProbeResult> {
    const asked = this.#verdicts.now();
    let absence: UpstreamError | undefined;
    for await (const candidate of this.#candidates(upstream, key, subject, signal)) {
      const result = await probe(upstream, key, candidate, signal);
      if (typeof result === 'string') {
        this.#verdicts.record(key, result === 'public', asked);
        return result;
      }
      absence ??= result;
    }
    const name = `${key.upstream}/${key.repository}`;
    return absence ?? new UpstreamError('notFound', `${name}: nothing to prove it by`, { upstream: key.upstream });
  }

  /**
   * What to ask for. A made-up name must neither decide about a repository nor show, by another answer than for a real
   * one, what a private repository holds; so when the thing asked for does not exist, something that does is tried.
   */
  async *#candidates(
    upstream: Upstream,
    key: RepositoryKey,
    subject: ProbeSubject | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ProbeSubject> {
    if (subject !== undefined) yield subject;
    for (const tag of this.#deps.catalog.tagsOf(key).slice(0, maxKnownTags)) yield tagSubject(tag);
    const tag = await discoverTag(upstream, key, signal);
    if (tag !== undefined) yield tagSubject(tag);
  }

  /**
   * It was served over a repository that was proven public, too long ago to count by itself. That one is asked about as
   * its own clients would ask, and holds when there is no answer: what has been here for all must outlive an outage.
   */
  async #isHeldElsewhere(key: RepositoryKey, digest: Digest, kind: ContentKind, signal: AbortSignal): Promise<boolean> {
    const { catalog, upstreams } = this.#deps;
    const held = catalog
      .linksOf(digest, kind, maxLinks)
      .filter((other) => upstreams.has(other.upstream) && this.#verdicts.of(other) === 'held');
    for (const other of held.slice(0, maxHeldLinks)) {
      try {
        await this.admit(other, { digest, kind }, signal);
      } catch (error) {
        // Private by now, and no help.
        if (!(error instanceof CacheError)) throw error;
      }
      if (this.isLinked(key, digest, kind)) return true;
    }
    return false;
  }

  /** Proven public: nothing that it holds needs a right. */
  #isPublic(key: RepositoryKey): boolean {
    const policy = this.#deps.upstreams.get(key.upstream);
    if (policy === undefined) return false;
    return !policy.upstream.hasCredential || this.#verdicts.isProven(key);
  }

  #policy(key: RepositoryKey): UpstreamPolicy {
    const policy = this.#deps.upstreams.get(key.upstream);
    if (policy !== undefined) return policy;
    throw new CacheError('nameUnknown', key.upstream, `no upstream ${key.upstream} is configured`);
  }
}

function needsProof({ upstream, access }: UpstreamPolicy): boolean {
  return access === 'public' && upstream.hasCredential;
}

async function askManifest(upstream: Upstream, key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<void> {
  const { digest: got } = await upstream.headManifest(key.repository, { kind: 'digest', digest }, signal);
  // No digest, or one by another algorithm, contradicts nothing.
  if (got === undefined || digestAlgorithm(got) !== digestAlgorithm(digest) || got === digest) return;
  const message = `${key.upstream}/${key.repository}: asked for ${digest}, got ${got}`;
  throw new CacheError('mismatch', key.upstream, message);
}

function tagSubject(tag: Tag): ProbeSubject {
  return { kind: 'manifest', reference: { kind: 'tag', tag } };
}

function denied(key: RepositoryKey): CacheError {
  return new CacheError('denied', key.upstream, `${key.upstream}/${key.repository} is not public`);
}
