/**
 * One endpoint looked at step by step, for a person who wants to know why an upstream does not work: the connection, what
 * `/v2/` says, and whether the credential is taken. The same dialling, authentication and limits as for everybody else,
 * but no health of origins, no other endpoint to fall back on, and nothing is retried.
 */
import { TLSSocket } from 'node:tls';
import { abortReason } from '../lib/abort.ts';
import type { Repository } from '../oci/reference.ts';
import { statusFailure } from './requests/refusal.ts';
import { createEndpoint, type UpstreamOptions, wayTo } from './create.ts';
import { dial } from './network/dial.ts';
import type { Endpoint } from './requests/endpoint.ts';
import { UpstreamError } from './contract/errors.ts';
import { failure } from './contract/failure.ts';
import { firstOf, linesOf } from '../headers/content-length.ts';
import { withoutSecrets } from './network/origin.ts';
import type { PoolSenderOptions } from './exchange/pool-sender.ts';
import { isRedirect, maxRedirects, nextHop, type Place, placeOf } from './requests/redirect.ts';
import { below } from './requests/prefix.ts';
import type { IncomingResponse } from './exchange/sender.ts';
import { readText } from './exchange/small-body.ts';

export interface Connected {
  /** Of the peer; the proxy's where there is one. */
  readonly address: string;
  /** Undefined without TLS. Wall time in epoch milliseconds. */
  readonly certificate:
    | {
        readonly issuer: string;
        readonly validFromMs: number;
        readonly validToMs: number;
        readonly isVerified: boolean;
      }
    | undefined;
}

export interface Told {
  readonly status: number;
  readonly headers: IncomingResponse['headers'];
  /** At most 16 KiB of it. */
  readonly body: string;
  /** After redirects; without query. */
  readonly place: string;
  /** Wall times between which the answer was made. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
}

export interface SignedIn extends Told {
  /** The registry saw the configured credential, or a token for it. */
  readonly isCredentialUsed: boolean;
  /** It says no to this repository all the same. */
  readonly isDenied: boolean;
}

const headTimeoutMs = 8_000;

export class EndpointProbe {
  readonly upstream: string;
  readonly url: URL;
  readonly #endpoint: Endpoint;
  readonly #prefix: string | undefined;
  readonly #way: PoolSenderOptions;

  constructor(url: URL, options: UpstreamOptions) {
    const all = options.endpoints.map((text) => new URL(text));
    this.upstream = options.key;
    this.url = url;
    this.#prefix = options.prefix;
    this.#endpoint = createEndpoint(url, all, options);
    this.#way = wayTo(url, all, options);
  }

  /** `host:port` of the proxy on the way, if any. */
  get proxy(): string | undefined {
    return this.#way.proxyFor(this.url)?.url.host;
  }

  get hasCredential(): boolean {
    return this.#endpoint.authorizer.mayUseCredential(this.url);
  }

  /** Opens a connection, looks at it and closes it. Rejects with UpstreamError. */
  async connect(signal: AbortSignal): Promise<Connected> {
    return this.#translated(signal, async () => {
      const socket = await dial(this.url, this.#way, {}, signal);
      try {
        const isTls = socket instanceof TLSSocket && this.url.protocol === 'https:';
        const certificate = isTls ? certificateOf(socket) : undefined;
        const address = `${socket.remoteAddress ?? 'a tunnel'}`;
        return { address, certificate };
      } finally {
        socket.destroy();
      }
    });
  }

  /** GET below the endpoint without any credential, along redirects. Rejects with UpstreamError. */
  async ask(path: string, signal: AbortSignal): Promise<Told> {
    return this.#translated(signal, async () => {
      let place = placeOf(new URL(`${this.#endpoint.name}${path}`));
      for (let hops = 0; ; hops++) {
        const told = await this.#send('GET', place, undefined, 'anonymous', signal);
        if (!isRedirect(told.status)) return told;
        const hop = nextHop(place, firstOf(told.headers.location), this.#endpoint);
        if (hop.kind === 'refused')
          throw failure('redirectRefused', this.upstream, `redirect not followed: ${hop.reason}`);
        if (hops >= maxRedirects)
          throw failure('redirectRefused', this.upstream, `more than ${maxRedirects} redirects`);
        place = hop.place;
      }
    });
  }

  /**
   * HEAD of the manifest `latest` with the configured credential, if there is one: costs no pull anywhere. Rejects with
   * UpstreamError: `credentialRefused` where the credential itself is, and outages, of the token server too.
   */
  async signIn(repository: Repository, signal: AbortSignal): Promise<SignedIn> {
    return this.#translated(signal, async () => {
      const { authorizer, name } = this.#endpoint;
      const there = below(this.#prefix, repository, this.upstream);
      const url = new URL(`${name}/v2/${there}/manifests/latest`);
      const exchange = authorizer.begin(this.url, there);
      for (;;) {
        const { header, credentialSet } = await exchange.authorization(signal);
        const told = await this.#send('HEAD', placeOf(url), header, credentialSet, signal).catch((error: unknown) => {
          exchange.heard(undefined);
          throw error;
        });
        const isCredentialUsed = credentialSet !== 'anonymous';
        const { status, headers, body } = told;
        if (status !== 401 && status !== 403) {
          exchange.heard(status);
          return { ...told, isCredentialUsed, isDenied: false };
        }
        const wwwAuthenticate = linesOf(headers['www-authenticate']);
        const verdict = await exchange.challenged({ status, wwwAuthenticate, body }, signal);
        if (verdict === 'denied') return { ...told, isCredentialUsed, isDenied: true };
        if (verdict !== 'retry') throw statusFailure(verdict, this.upstream, url, { status, body });
      }
    });
  }

  async close(): Promise<void> {
    this.#endpoint.authorizer.close();
    this.#endpoint.anonymous.close();
    await this.#endpoint.sender.close();
  }

  async #send(
    method: 'GET' | 'HEAD',
    place: Place,
    authorization: string | undefined,
    credentialSet: string,
    signal: AbortSignal,
  ): Promise<Told> {
    const headers = {
      'accept-encoding': 'identity',
      'user-agent': 'weir',
      ...(authorization !== undefined && { authorization }),
    };
    const { clock } = this.#way;
    const sentAtMs = clock.now();
    const response = await this.#endpoint.sender.send(
      { method, ...place, headers, credentialSet, headTimeoutMs },
      signal,
    );
    const receivedAtMs = clock.now();
    const body = await readText(response);
    signal.throwIfAborted();
    return {
      status: response.status,
      headers: response.headers,
      body,
      place: withoutSecrets(place.url),
      sentAtMs,
      receivedAtMs,
    };
  }

  /** Callers know UpstreamError only. */
  async #translated<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted)
        throw failure('timeout', this.upstream, `${this.url.host}: no complete answer in time`, abortReason(signal));
      if (error instanceof UpstreamError) throw error;
      throw failure('badResponse', this.upstream, 'unexpected failure', error);
    }
  }
}

function certificateOf(socket: TLSSocket): Connected['certificate'] {
  const { issuer, valid_from: validFrom, valid_to: validTo } = socket.getPeerCertificate();
  const name = [issuer.O, issuer.CN].flat().find((text) => text !== undefined && text !== '');
  return {
    issuer: name ?? 'unnamed',
    validFromMs: Date.parse(validFrom),
    validToMs: Date.parse(validTo),
    isVerified: socket.authorized,
  };
}

/** One for each endpoint, in their order. Dials nothing yet. */
export function createProbes(options: UpstreamOptions): readonly EndpointProbe[] {
  return options.endpoints.map((text) => new EndpointProbe(new URL(text), options));
}
