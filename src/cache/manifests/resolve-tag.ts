/**
 * Tag policy: fresh for a while, then one HEAD decides for everybody; during an outage the last known answer; a 404 or a
 * denial is an answer and is followed.
 */
import type { TagKey } from '../../store/contract/metadata.ts';
import { isDeniedForGood, isNotFound, isOffline, UpstreamError } from '../../upstream/contract/errors.ts';
import type { Age } from '../freshness/age.ts';
import type { ManifestAnswer, ManifestQuery } from '../contract/cache.ts';
import type { Binding } from './tag-bindings.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import { tagText } from '../../store/contract/keys.ts';
import { answerOf, contentOf, typed } from './answer.ts';
import { Nones } from '../freshness/nones.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { Refresh } from '../freshness/revalidate.ts';
import { askTag, type ResolveParts, type Told } from './ask-tag.ts';
import { noneKeyOf, type TagRule, tagRule, ttlOf } from './tag-ttl.ts';
import { isNoAnswer } from '../freshness/error-classes.ts';

interface Request {
  readonly key: TagKey;
  readonly method: ManifestQuery['method'];
  readonly policy: UpstreamPolicy;
  readonly rule: TagRule;
  readonly signal: AbortSignal;
}

/** A last known answer whose manifest is at hand. */
interface Stale {
  readonly binding: Binding;
  readonly age: Age;
}

export class TagResolver {
  readonly #deps: PolicyDeps;
  readonly #parts: ResolveParts;
  readonly #refresh: Refresh<Told>;
  readonly #nones: Nones;
  /** Refusals of HEAD, which has no body and so no code: a GET that follows has to be told. */
  readonly #withoutCode = new WeakSet<object>();

  constructor(deps: PolicyDeps, parts: ResolveParts) {
    this.#deps = deps;
    this.#parts = parts;
    this.#refresh = new Refresh(deps.clock, deps.options, deps.slowUpstreams);
    this.#nones = new Nones(deps);
  }

  async resolve(
    key: TagKey,
    method: ManifestQuery['method'],
    policy: UpstreamPolicy,
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    const request = { key, method, policy, rule: tagRule(key.tag, policy, this.#deps.options), signal };
    const binding = this.#parts.bindings.get(key);
    if (binding !== undefined && !binding.isDenied && this.#isGood(key, binding)) {
      const { isImmutable, ttlMs } = request.rule;
      const isFresh = isImmutable || this.#parts.bindings.age(key, binding).freshnessMs < ttlMs;
      const answer = isFresh ? await this.#fresh(request, binding) : undefined;
      if (answer !== undefined) return answer;
    }
    return this.#expired(request, binding);
  }

  /** What a fresh tag points to, and for how long it is fresh; undefined when somebody would have to be asked. */
  fresh(key: TagKey, policy: UpstreamPolicy): { readonly binding: Binding; readonly freshMs: number } | undefined {
    const { isImmutable, ttlMs } = tagRule(key.tag, policy, this.#deps.options);
    const binding = this.#parts.bindings.get(key);
    if (binding === undefined || binding.isDenied || !this.#isGood(key, binding)) return undefined;
    const freshMs = isImmutable ? Infinity : ttlMs - this.#parts.bindings.age(key, binding).freshnessMs;
    return freshMs > 0 ? { binding, freshMs } : undefined;
  }

  close(): void {
    this.#refresh.close();
  }

  /**
   * Undefined when what the tag points to is not here and not to be had: lost upstream, so the tag has moved, or out of
   * reach where an older manifest is here.
   */
  async #fresh(request: Request, binding: Binding): Promise<ManifestAnswer | undefined> {
    try {
      return await this.#answer(request, { binding, content: undefined }, { kind: 'hit' });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (isNoAnswer(error) && (await this.#stale(request)) !== undefined) return undefined;
      throw error;
    }
  }

  async #expired(request: Request, binding: Binding | undefined): Promise<ManifestAnswer> {
    const { key, policy, rule, signal } = request;
    const { bindings, manifestStore } = this.#parts;
    const stale = await this.#stale(request);
    const isPinned = stale !== undefined && bindings.isPinned(key);
    const refusal = this.#nones.fresh(tagText(key));
    const isWithoutCode = refusal?.cause instanceof Error && this.#withoutCode.has(refusal.cause);
    if (refusal !== undefined && (request.method === 'head' || !isWithoutCode)) {
      if (isPinned) return this.#staleAnswer(request, stale, undefined);
      throw refusal;
    }
    const isServable = isPinned || (stale !== undefined && stale.age.outageMs <= rule.ttlMs + policy.staleIfErrorMs);
    const none =
      stale === undefined
        ? this.#nones.last(await noneKeyOf(key, this.#deps.metadata, manifestStore), policy)
        : undefined;
    const hasStale = isServable || none?.isServable === true;
    const question = { key: tagText(key), upstream: key.upstream, hasStale };
    try {
      const told = await this.#refresh.run(question, (own) => this.#ask(request, binding, own), signal);
      if (told.kind === 'answered') {
        const outcome = { kind: binding === undefined ? 'miss' : 'stale' } as const;
        return await this.#answer(request, told.value, told.isCollapsed ? { ...outcome, isCollapsed: true } : outcome);
      }
      if (stale !== undefined && (isServable || isOffline(told.error)))
        return this.#staleAnswer(request, stale, told.error);
      if (none !== undefined && (none.isServable || isOffline(told.error))) throw none.because(told.error);
      if (binding?.isDenied === true && binding.isGone !== true) throw wasDenied(key, told.error);
      if (this.#isWithheld(key, binding)) throw this.#deps.rights.withheld(key, told.error);
      throw told.error ?? new UpstreamError('timeout', 'no answer', { upstream: key.upstream });
    } catch (error) {
      if (isPinned && isNotFound(error)) return this.#staleAnswer(request, stale, undefined);
      throw error;
    }
  }

  /** Runs once per tag for all who ask, and does what the answer means for the binding. */
  async #ask(request: Request, binding: Binding | undefined, signal: AbortSignal): Promise<Told> {
    const { key, policy } = request;
    const { bindings, manifestStore } = this.#parts;
    try {
      const question = { key, method: request.method };
      const told = await askTag({ ...this.#parts, ...this.#deps }, question, policy.upstream, binding, signal);
      this.#nones.forget(await noneKeyOf(key, this.#deps.metadata, manifestStore));
      return told;
    } catch (error) {
      if (isNotFound(error)) {
        if (request.method === 'head' && error.code === undefined) this.#withoutCode.add(error);
        this.#nones.remember(await noneKeyOf(key, this.#deps.metadata, manifestStore), error);
        bindings.forget(key);
      } else if (isDeniedForGood(error)) {
        this.#nones.forget(await noneKeyOf(key, this.#deps.metadata, manifestStore));
        bindings.deny(key);
      }
      throw error;
    }
  }

  async #answer(request: Request, { binding, content }: Told, outcome: Outcome): Promise<ManifestAnswer> {
    const { key, method, policy, signal } = request;
    const { manifestStore, fetch, bindings } = this.#parts;
    const told = { ...outcome, ...ttlOf(binding, request.rule, bindings.age(key, binding), outcome) };
    if (content !== undefined) return answerOf(content, method, told);
    if (method === 'head') return answerOf({ record: binding, bytes: undefined }, method, told);
    const { rights, metadata } = this.#deps;
    const isServable =
      rights.isLinked(key, binding.digest, 'manifest') ||
      (outcome.detail !== undefined && this.#mayBeStale(key, binding));
    const manifest = isServable ? await manifestStore.read(binding.digest) : undefined;
    if (manifest !== undefined) {
      const here = typed(contentOf(manifest), metadata.links.get(key, binding.digest, 'manifest')?.mediaType);
      // It has come by way of another repository.
      if (!binding.isRecorded) bindings.arrived(key, here.record);
      return answerOf(here, method, told);
    }
    // Evicted since, or only heard of: the same bytes, through the same repository.
    const fetched = await fetch.byDigest(policy.upstream, key, binding.digest, signal);
    const kind = told.kind === 'hit' ? 'miss' : told.kind;
    const collapsed = fetched.isCollapsed ? { isCollapsed: true } : {};
    return answerOf(contentOf(fetched.manifest, fetched.isStored), method, { ...told, ...collapsed, kind });
  }

  /**
   * Where the tag was, as far as it can be served: what is stored before what was only heard of. That is enough for HEAD: a
   * node that has the image already starts its pods with the digest alone.
   */
  async #stale({ key, method }: Request): Promise<Stale | undefined> {
    const { bindings, manifestStore } = this.#parts;
    for (const binding of [bindings.get(key), bindings.recorded(key)]) {
      if (binding === undefined || (binding.isDenied && binding.isGone !== true)) continue;
      if (!this.#mayBeStale(key, binding)) continue;
      if ((await manifestStore.stat(binding.digest)) !== undefined) return { binding, age: bindings.age(key, binding) };
    }
    const unstored = method === 'head' ? bindings.get(key) : undefined;
    return unstored === undefined || unstored.isDenied || unstored.isRecorded
      ? undefined
      : { binding: unstored, age: bindings.age(key, unstored) };
  }

  /** It may be answered without a question. A tag that was only heard of has its word in memory, for HEAD. */
  #isGood(key: TagKey, binding: Binding): boolean {
    const { rights } = this.#deps;
    const standing = rights.standing(key, binding.digest, 'manifest');
    return standing === 'good' || (standing === 'none' && !binding.isRecorded && rights.counts(key, binding));
  }

  #mayBeStale(key: TagKey, { digest }: Binding): boolean {
    return ['good', 'held'].includes(this.#deps.rights.standing(key, digest, 'manifest'));
  }

  #isWithheld(key: TagKey, binding: Binding | undefined): boolean {
    return binding !== undefined && this.#deps.rights.standing(key, binding.digest, 'manifest') === 'withheld';
  }

  #staleAnswer(request: Request, { binding }: Stale, error: Error | undefined): Promise<ManifestAnswer> {
    const outcome = { kind: 'hit', detail: isOffline(error) ? 'offline' : 'stale' } as const;
    return this.#answer(request, { binding, content: undefined }, outcome);
  }
}

function wasDenied(key: TagKey, cause: Error | undefined): CacheError {
  const name = `${key.upstream}/${key.repository}:${key.tag}`;
  return new CacheError('denied', key.upstream, `${name} was denied when the upstream last answered`, { cause });
}
