/**
 * The configuration as the rest of weir sees it: checked, complete, frozen, in plain values. `load` makes it from the
 * file and the environment; docs/configuration.md says what each key means.
 */
import type { AddressBlock } from '../../lib/sharing/client-address.ts';
import type { Secret } from '../../lib/secret.ts';
import type { SizeOrPercent } from './units.ts';

export interface Config {
  readonly listen: ListenAddress;
  /** Peers on `listen` whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly AddressBlock[];
  /** HTTPS on `listen`; undefined: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly admin: {
    readonly listen: ListenAddress;
    readonly tokenFile: string | undefined;
    /** Names that it answers to besides `localhost`, IP addresses and its own; lower case, without ports. */
    readonly hosts: readonly string[];
  };
  readonly cache: {
    /** Absolute. It need not exist yet. */
    readonly root: string;
    readonly maxSizeBytes: number;
    /** What stays free of the file system that holds `root`; a percentage is of that file system's size. */
    readonly minFree: SizeOrPercent;
  };
  readonly serve: {
    /** 0: as many threads as cores, at most 4; 1: one thread does everything. */
    readonly threads: number;
    /** How long an idle connection of a client is kept. */
    readonly keepAliveMs: number;
  };
  readonly fill: {
    readonly onAbandon: 'finish' | 'keep';
    /** At most that many upstream connections for one fill. */
    readonly connections: number;
    readonly partialTtlMs: number;
  };
  readonly prefetch: {
    readonly enabled: boolean;
    readonly maxBytes: number;
    /** `os/arch[/variant]`; empty: whatever is asked for. */
    readonly platforms: readonly string[];
  };
  readonly offline: boolean;
  readonly log: { readonly level: LogLevel; readonly access: boolean };
  /** The user's own in the order of the file, then the built-in ones. At most one `isDefault`. */
  readonly upstreams: readonly UpstreamConfig[];
  readonly credentials: CredentialSources;
  /** From HTTP_PROXY, HTTPS_PROXY and NO_PROXY; used by upstreams whose `proxy` is `environment`. */
  readonly proxy: ProxyEnvironment;
}

/** `host` is an IP address (IPv6 without brackets) or a name; port 0 lets the system choose. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface UpstreamConfig {
  /** Names the upstream everywhere: `docker.io`, `localhost:6000`, `lab`. Lower case. */
  readonly key: string;
  /** `host` or `host:port` of Host headers that mean this upstream; without a port, any port. Lower case. */
  readonly hosts: readonly string[];
  /** Serves requests that name no upstream. */
  readonly isDefault: boolean;
  readonly isBuiltin: boolean;
  /** Docker Hub, by its key or by the host of its URL: names of one part lie below `library/` there. */
  readonly isHub: boolean;
  /**
   * Base URLs in the order in which they are tried, at least one: http or https, no credentials, no query, no trailing
   * slash. `/v2/` is appended to it.
   */
  readonly endpoints: readonly string[];
  /** Stands before every repository's name there, with a slash between; undefined: nothing does. */
  readonly prefix: string | undefined;
  /** `public`: serve only what an anonymous client could read there. `all`: whatever the credential can read. */
  readonly access: 'public' | 'all';
  /** Undefined: anonymous, unless a credential file of `credentials` has an entry for it. */
  readonly auth: UpstreamAuth | undefined;
  readonly tagTtlMs: number;
  readonly staleIfErrorMs: number;
  /** Patterns with `*` and `?`; `tagMatcher` compiles them. */
  readonly immutableTags: readonly string[];
  /** `host[:port]` or origins of token endpoints that may get the credential, besides the endpoints' own. Lower case. */
  readonly realms: readonly string[];
  /** `host` (any port) or `host:port` that redirects may lead to although their address is private. Lower case. */
  readonly allowHosts: readonly string[];
  readonly tls: {
    readonly caFile: string | undefined;
    /** Client certificate and its key: both or none. */
    readonly certFile: string | undefined;
    readonly keyFile: string | undefined;
    /** Certificates are not checked at all. */
    readonly insecureSkipVerify: boolean;
  };
  readonly proxy:
    | { readonly kind: 'environment' }
    | { readonly kind: 'direct' }
    | { readonly kind: 'url'; readonly url: Secret };
  /** At most that many blob transfers at once; manifests, tokens and HEADs do not count. */
  readonly connections: number;
  /** Until the head of an answer is there. */
  readonly headTimeoutMs: number;
  /** Bytes per second over all blob transfers of this upstream; undefined: unlimited. */
  readonly bandwidth: number | undefined;
}

export type UpstreamAuth =
  | { readonly kind: 'basic'; readonly username: string; readonly password: SecretSource }
  /** A refresh token that the token endpoint exchanges (`grant_type=refresh_token`). */
  | { readonly kind: 'identityToken'; readonly token: SecretSource }
  /** `docker-credential-<name>` on the PATH. */
  | { readonly kind: 'helper'; readonly name: string };

/** A file is read when it is needed, so that a rotated secret is picked up; a variable is read once, at start. */
export type SecretSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'value'; readonly secret: Secret };

export interface CredentialSources {
  /** The content of DOCKER_AUTH_CONFIG, a config.json; looked at before `files`. */
  readonly inline: Secret | undefined;
  /** Docker's config.json and containers' auth.json, the first with an entry for the host wins. They may be absent. */
  readonly files: readonly string[];
}

export interface ProxyEnvironment {
  /** For http:// upstreams. A URL that may hold a password. */
  readonly http: Secret | undefined;
  /** For https:// upstreams. */
  readonly https: Secret | undefined;
  /** Entries of NO_PROXY as written, lower case: `*`, `.suffix`, `host`, `host:port`, `10.0.0.0/8`. */
  readonly noProxy: readonly string[];
}
