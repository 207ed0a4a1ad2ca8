/** The way to an upstream as one client goes it: its questions name the client, whose share of those that wait they are. */
import type { Behind } from '../../upstream/contract/question.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import type { FromClient } from './cache.ts';
import type { UpstreamPolicy } from './upstream-policy.ts';

/** The same policy, with questions that name the client. */
export function onBehalf(policy: UpstreamPolicy, { client }: FromClient): UpstreamPolicy {
  return client === undefined ? policy : { ...policy, upstream: new AskedBy(policy.upstream, { client }) };
}

/** Whoever asks first is named; others who want the same join the question. Blobs name a party of their own. */
class AskedBy implements Upstream {
  readonly #upstream: Upstream;
  readonly #behind: Behind;

  constructor(upstream: Upstream, behind: Behind) {
    this.#upstream = upstream;
    this.#behind = behind;
  }

  get key(): string {
    return this.#upstream.key;
  }

  get hasCredential(): boolean {
    return this.#upstream.hasCredential;
  }

  get answeredAtMs(): number | undefined {
    return this.#upstream.answeredAtMs;
  }

  isAt(place: string): boolean {
    return this.#upstream.isAt(place);
  }

  headManifest(...[repository, reference, signal]: Parameters<Upstream['headManifest']>) {
    return this.#upstream.headManifest(repository, reference, signal, this.#behind);
  }

  getManifest(...[repository, reference, signal]: Parameters<Upstream['getManifest']>) {
    return this.#upstream.getManifest(repository, reference, signal, this.#behind);
  }

  openBlob(...question: Parameters<Upstream['openBlob']>) {
    return this.#upstream.openBlob(...question);
  }

  transfer(...terms: Parameters<Upstream['transfer']>) {
    return this.#upstream.transfer(...terms);
  }

  statBlob(...[repository, digest, signal]: Parameters<Upstream['statBlob']>) {
    return this.#upstream.statBlob(repository, digest, signal, this.#behind);
  }

  listTags(...[repository, page, signal]: Parameters<Upstream['listTags']>) {
    return this.#upstream.listTags(repository, page, signal, this.#behind);
  }

  listReferrers(...[repository, digest, page, signal]: Parameters<Upstream['listReferrers']>) {
    return this.#upstream.listReferrers(repository, digest, page, signal, this.#behind);
  }

  close(): Promise<void> {
    return this.#upstream.close();
  }
}
