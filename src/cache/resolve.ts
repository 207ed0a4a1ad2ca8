/**
 * Tag policy: fresh for a while, then one HEAD decides for everybody; during an outage the last known answer; a 404 or a
 * denial is an answer and is followed.
 */
import { isManifestType } from '../oci/media-type.ts';
import type { TagKey } from '../store/catalog.ts';
import { byAnybody } from '../store/origin.ts';
import { UpstreamError } from '../upstream/errors.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { Age } from './age.ts';
import type { ManifestAnswer, ManifestQuery } from './answers.ts';
import type { Binding, TagBindings } from './bindings.ts';
import { CacheError } from './errors.ts';
import { tagText } from './keys.ts';
import { answerOf, type Content, contentOf } from './manifest-answer.ts';
import type { ManifestFetch } from './manifest-fetch.ts';
import type { ManifestShelf } from './manifest-shelf.ts';
import { Nones } from './nones.ts';
import type { Outcome } from './outcome.ts';
import type { UpstreamPolicy } from './policy.ts';
import type { PolicyDeps } from './policy-deps.ts';
import { Refresh } from './refresh.ts';
import { noneKeyOf, type TagRule, tagRule, ttlOf } from './tag-rule.ts';
import { isDenied, isNoAnswer, isNotFound, isOffline } from './refusals.ts';

export interface ResolveParts {
  readonly shelf: ManifestShelf;
  readonly fetch: ManifestFetch;
  readonly bindings: TagBindings;
}

/** What the upstream said about a tag, with the bytes if they had to be fetched. */
interface Told {
  readonly binding: Binding;
  readonly content: Content | undefined;
}

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
    this.#refresh = new Refresh(deps.clock, deps.options, deps.overdue);
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
    if (binding !== undefined && !binding.isDenied) {
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
    if (binding === undefined || binding.isDenied) return undefined;
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
    const { bindings, shelf } = this.#parts;
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
      stale === undefined ? this.#nones.last(await noneKeyOf(key, this.#deps.catalog, shelf), policy) : undefined;
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
      throw told.error ?? new UpstreamError('timeout', 'no answer', { upstream: key.upstream });
    } catch (error) {
      if (isPinned && isNotFound(error)) return this.#staleAnswer(request, stale, undefined);
      throw error;
    }
  }

  /** Runs once per tag for all who ask, and does what the answer means for the binding. */
  async #ask(request: Request, binding: Binding | undefined, signal: AbortSignal): Promise<Told> {
    const { key, policy } = request;
    const { bindings, shelf } = this.#parts;
    try {
      const told = await this.#askUpstream(request, policy.upstream, binding, signal);
      this.#nones.forget(await noneKeyOf(key, this.#deps.catalog, shelf));
      return told;
    } catch (error) {
      if (isNotFound(error)) {
        if (request.method === 'head' && error.code === undefined) this.#withoutCode.add(error);
        this.#nones.remember(await noneKeyOf(key, this.#deps.catalog, shelf), error);
        bindings.forget(key);
      } else if (isDenied(error)) {
        this.#nones.forget(await noneKeyOf(key, this.#deps.catalog, shelf));
        bindings.deny(key);
      }
      throw error;
    }
  }

  async #askUpstream(
    { key, method }: Request,
    upstream: Upstream,
    binding: Binding | undefined,
    signal: AbortSignal,
  ): Promise<Told> {
    const { bindings, shelf, fetch } = this.#parts;
    // Before the question is sent: what changes while it travels is not covered by the answer.
    const asked = bindings.now();
    const byTag = async (): Promise<Told> => {
      const { manifest, isStored } = await fetch.byTag(upstream, key, key.tag, signal);
      const content = contentOf(manifest, isStored);
      return { binding: bindings.confirm(key, content.record, asked), content };
    };
    if (binding === undefined && method === 'get') return byTag();
    const head = await upstream.headManifest(key.repository, { kind: 'tag', tag: key.tag }, signal);
    const { digest, mediaType = '', sizeBytes } = head;
    if (digest === undefined) return byTag();
    const isSame = digest === binding?.digest;
    if (isSame && method === 'head') return { binding: bindings.confirm(key, binding, asked), content: undefined };
    const here = await shelf.stat(digest);
    if (here !== undefined) {
      // Asked through this repository, the upstream has named it: that is the proof that a link needs.
      this.#deps.catalog.addLink(key, digest, 'manifest', { origin: byAnybody });
      return { binding: bindings.confirm(key, here, asked), content: undefined };
    }
    const isNew = binding === undefined || !binding.isRecorded;
    if (isNew && method === 'head' && isManifestType(mediaType) && sizeBytes !== undefined) {
      fetch.heard(key, { digest, mediaType, sizeBytes });
      return { binding: bindings.confirm(key, { digest, mediaType, sizeBytes }, asked), content: undefined };
    }
    try {
      const { manifest, isStored } = await fetch.byDigest(upstream, key, digest, signal);
      const content = contentOf(manifest, isStored);
      return { binding: bindings.confirm(key, content.record, asked), content };
    } catch (error) {
      // It has moved on in between, or this registry knows tags only.
      if (isNotFound(error)) return byTag();
      throw error;
    }
  }

  async #answer(request: Request, { binding, content }: Told, outcome: Outcome): Promise<ManifestAnswer> {
    const { key, method, policy, signal } = request;
    const { shelf, fetch, bindings } = this.#parts;
    const told = { ...outcome, ...ttlOf(binding, request.rule, bindings.age(key, binding), outcome) };
    if (content !== undefined) return answerOf(content, method, told);
    if (method === 'head') return answerOf({ record: binding, bytes: undefined }, method, told);
    const manifest = await shelf.read(binding.digest);
    if (manifest !== undefined) {
      const here = contentOf(manifest);
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
    const { bindings, shelf } = this.#parts;
    for (const binding of [bindings.get(key), bindings.recorded(key)]) {
      if (binding === undefined || (binding.isDenied && binding.isGone !== true)) continue;
      if ((await shelf.stat(binding.digest)) !== undefined) return { binding, age: bindings.age(key, binding) };
    }
    const heard = method === 'head' ? bindings.get(key) : undefined;
    return heard === undefined || heard.isDenied ? undefined : { binding: heard, age: bindings.age(key, heard) };
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
