/** Where clients find weir: what was said on the command line, else what follows from the configuration. */
import { X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { formatListen, isLoopback, parseUrl } from '../../config/schema/addresses.ts';
import type { Config } from '../../config/values/config.ts';
import { absolute, readText } from '../../config/read/files.ts';
import type { Env } from '../../config/read/variables.ts';
import { UsageError } from '../frame/args.ts';
import type { Listener } from './contract/client-setup.ts';

export interface ListenerOptions {
  readonly url: string | undefined;
  readonly ca: string | undefined;
  readonly env: Env;
  readonly cwd: string;
  /** Default: the system's. */
  readonly hostname?: () => string;
}

export interface Found {
  readonly listener: Listener;
  readonly notes: readonly string[];
}

/** Reads certificates. Throws UsageError for options that make no sense. */
export function findListener(config: Config, options: ListenerOptions): Found {
  const { url, notes } =
    options.url === undefined ? configured(config, options) : { url: given(options.url), notes: [] };
  const isTls = url.protocol === 'https:';
  if (options.ca !== undefined && !isTls)
    throw new UsageError(`--ca makes no sense with ${url.origin}: say --url https://…`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const ca = isTls ? findCa(config, options) : undefined;
  const caNotes =
    ca === undefined
      ? []
      : [`Clients must trust ${ca.path}; where their settings name that path, it must exist there.`];
  return {
    listener: {
      origin: url.origin,
      authority: url.host,
      isTls,
      isLoopback: isLoopback({ host }),
      ca,
    },
    notes: [...notes, ...caNotes],
  };
}

function given(text: string): URL {
  const parsed = parseUrl(text);
  if ('problem' in parsed) throw new UsageError(`--url ${text}: ${parsed.problem}`);
  const url = new URL(parsed.value);
  if (url.pathname !== '/') throw new UsageError(`--url ${text}: clients need weir at the root, without a path`);
  return url;
}

function configured({ listen, tls }: Config, options: ListenerOptions): { url: URL; notes: readonly string[] } {
  if (listen.port === 0)
    throw new UsageError('listen has port 0, which the system chooses: say --url http://HOST:PORT');
  const isEvery = listen.host === '0.0.0.0' || listen.host === '::';
  const host = isEvery ? (options.hostname ?? hostname)().toLowerCase() : listen.host;
  const url = URL.parse(`${tls === undefined ? 'http' : 'https'}://${formatListen({ host, port: listen.port })}`);
  if (url === null) throw new UsageError(`clients cannot use the name of this machine, "${host}": say --url`);
  const notes = isEvery
    ? [`weir listens on every address; ${host} is this machine's name. --url gives another one.`]
    : [];
  return { url, notes };
}

/** A certificate that signed itself is its own authority; any other one's is asked for, or known to clients. */
function findCa({ tls }: Config, { ca, env, cwd }: ListenerOptions): Listener['ca'] {
  const path = ca === undefined ? tls?.certFile : absolute(ca, { env, cwd });
  if (path === undefined) return undefined;
  const read = readText(path);
  if ('problem' in read) throw new UsageError(`${path}: ${read.problem}`);
  const pem = pemOf(read.text);
  if (pem === undefined) throw new UsageError(`${path}: there is no PEM certificate in it`);
  return ca !== undefined || isSelfSigned(pem) ? { path, pem } : undefined;
}

/** The certificates alone: a key beside them is nobody's business. */
function pemOf(text: string): string | undefined {
  const found = text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g);
  return found === null ? undefined : `${found.join('\n')}\n`;
}

function isSelfSigned(pem: string): boolean {
  try {
    const certificate = new X509Certificate(pem);
    return certificate.issuer === certificate.subject && certificate.verify(certificate.publicKey);
  } catch (error) {
    throw new UsageError(`the certificate cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
