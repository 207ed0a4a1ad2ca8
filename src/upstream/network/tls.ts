/**
 * TLS towards one upstream: whom we trust, and what we show of ourselves.
 *
 * A client certificate is a credential, so only the configured endpoints see it. Unchecked certificates are accepted
 * where the operator said so: at the endpoints and at hosts that configuration lists, not wherever a redirect leads. A
 * private CA is trusted beside the system's, everywhere: the storage behind a private registry usually has it as well.
 */
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { WorkerTls } from '../contract/worker-protocol.ts';

/** Paths of PEM files; certificate and key both or none. */
export interface TlsFiles {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly insecureSkipVerify: boolean;
}

/** How far configuration vouches for the place that is dialled. */
export type TlsPlace = 'endpoint' | 'listed' | 'elsewhere';

export interface TlsChoice {
  readonly context: SecureContext;
  readonly isVerified: boolean;
}

interface Loaded {
  readonly stamp: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly withClientCertificate: SecureContext;
  readonly withoutClientCertificate: SecureContext;
}

/** Tells the settings of one upstream from those of another. */
let instances = 0;

/** Reads the files again when they change, so that a certificate can be rotated under a running daemon. */
export class TlsSettings {
  readonly #files: TlsFiles;
  readonly #name = `${++instances}`;
  #loaded: Loaded | undefined;

  constructor(files: TlsFiles) {
    this.#files = files;
  }

  /** Rejects with the error of the file system or of OpenSSL when a file cannot be read or used. */
  async choose(place: TlsPlace): Promise<TlsChoice> {
    const loaded = await this.#current();
    return {
      context: place === 'endpoint' ? loaded.withClientCertificate : loaded.withoutClientCertificate,
      isVerified: this.#isVerified(place),
    };
  }

  /** The same choice for another thread, which makes its own context. */
  async describe(place: TlsPlace): Promise<WorkerTls> {
    const { stamp, ca, cert, key } = await this.#current();
    const own = place === 'endpoint' ? { cert, key } : { cert: undefined, key: undefined };
    const isVerified = this.#isVerified(place);
    return { stamp: [stamp, this.#name, place, isVerified].join(' '), ca, ...own, isVerified };
  }

  #isVerified(place: TlsPlace): boolean {
    return place === 'elsewhere' || !this.#files.insecureSkipVerify;
  }

  async #current(): Promise<Loaded> {
    const stamp = await this.#stamp();
    if (this.#loaded?.stamp !== stamp) this.#loaded = await this.#load(stamp);
    return this.#loaded;
  }

  async #load(stamp: string): Promise<Loaded> {
    const { caFile, certFile, keyFile } = this.#files;
    const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(readIfNamed));
    const trust = ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] };
    const withoutClientCertificate = createSecureContext(trust);
    const isOwn = cert !== undefined && key !== undefined;
    return {
      stamp,
      ca,
      cert,
      key,
      withoutClientCertificate,
      withClientCertificate: isOwn ? createSecureContext({ ...trust, cert, key }) : withoutClientCertificate,
    };
  }

  async #stamp(): Promise<string> {
    const { caFile, certFile, keyFile } = this.#files;
    const named = [caFile, certFile, keyFile].filter((path) => path !== undefined);
    const stats = await Promise.all(named.map((path) => stat(path)));
    return stats.map(({ mtimeMs, size, ino }) => `${mtimeMs}:${size}:${ino}`).join(' ');
  }
}

async function readIfNamed(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : readFile(path, 'utf8');
}
