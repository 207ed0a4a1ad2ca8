/** What a client needs to be told so that it pulls through weir, as plain values; each client has a file beside this. */

/** Where clients find weir. */
export interface Listener {
  /** `http://weir.example:5000`, without a path. */
  readonly origin: string;
  /** `weir.example:5000`; the port is left away where it is that of the scheme. */
  readonly authority: string;
  readonly isTls: boolean;
  /** Only programs on this machine, outside of containers, find weir there. */
  readonly isLoopback: boolean;
  /** The authority that signed weir's certificate, where clients do not know it already. `path` is the client's own. */
  readonly ca: { readonly path: string; readonly pem: string } | undefined;
}

export interface SetupUpstream {
  /** As in the configuration: `docker.io`, `registry.example:5000`, `lab`. */
  readonly key: string;
  readonly isDefault: boolean;
  /** Host headers that mean it: `host` or `host:port`. */
  readonly hosts: readonly string[];
  /** Docker Hub, by its key or its URL. */
  readonly isHub: boolean;
}

export interface SetupRequest {
  readonly listener: Listener;
  /** Those the client shall use weir for, at least one. */
  readonly upstreams: readonly SetupUpstream[];
  /** Somebody asked for one upstream, so a setting for every registry would say too much. */
  readonly isLimited: boolean;
}

/** How a file comes about when there is something under its path already. */
export type Content =
  /** All of it is weir's; recognised by its first line. */
  | { readonly kind: 'own'; readonly text: string }
  /** Values that must be in lists of a JSON object, before others; everything else stays. */
  | { readonly kind: 'json'; readonly lists: Readonly<Record<string, readonly string[]>> }
  /** `NAME=value` lines; all others stay. */
  | { readonly kind: 'variables'; readonly set: Readonly<Record<string, string>> }
  /** Part of a file that only its owner can change. `isThere` finds it, however it is written. */
  | { readonly kind: 'part'; readonly text: string; readonly isThere: RegExp };

export interface SetupFile {
  /** Absolute, on the client's machine. */
  readonly path: string;
  readonly content: Content;
}

export interface Setup {
  readonly files: readonly SetupFile[];
  /** What to run: afterwards where there are files, else the way to use weir. */
  readonly commands: readonly string[];
  /** Sentences that a person should read. */
  readonly notes: readonly string[];
}

export interface ClientSetup {
  /** As typed: `containerd`. */
  readonly name: string;
  /** Other programs that read the same files. */
  readonly aliases: readonly string[];
  /** What it does, in a few words. */
  readonly summary: string;
  /** Throws SetupError. */
  readonly generate: (request: SetupRequest) => Setup;
}

/** This client cannot be served with this configuration; the message says what to change. */
export class SetupError extends Error {
  readonly kind = 'setup';

  constructor(message: string) {
    super(message);
    this.name = 'SetupError';
  }
}

const ownMark = '# Written by weir setup';

/** A file of weir's own: the first line says so. */
export function ownFile(path: string, client: string, text: string): SetupFile {
  return { path, content: { kind: 'own', text: `${ownMark} ${client}, which also replaces it.\n${text}` } };
}

/** Whether the comments at its beginning say so: what was printed and redirected has others before that. */
export function isOwn(text: string): boolean {
  const lines = text.split('\n');
  const end = lines.findIndex((line) => line !== '' && !line.startsWith('#'));
  return lines.slice(0, end === -1 ? lines.length : end).some((line) => line.startsWith(ownMark));
}

/** Upstreams that an image reference can name: clients take a first part without dot or colon for a directory. */
export function registriesOf(upstreams: readonly SetupUpstream[]): readonly SetupUpstream[] {
  return upstreams.filter(({ key }) => /[.:]/.test(key) || key === 'localhost');
}

/** The upstream's name in a path below weir's: a colon is illegal there. */
export function segmentOf({ key }: SetupUpstream): string {
  return key.replace(/:([0-9]+)$/, '-$1');
}

/** For clients that know registries by their names only. */
export function nameNotes({ listener, upstreams }: SetupRequest): readonly string[] {
  const known = registriesOf(upstreams);
  return upstreams
    .filter((upstream) => !known.includes(upstream))
    .map(({ key }) => `"${key}" is no registry's name; pull from it as ${listener.authority}/${key}/NAME.`);
}

/** Throws SetupError where there is nothing that the client could be told. */
export function registriesOrRefuse(request: SetupRequest): readonly SetupUpstream[] {
  const registries = registriesOf(request.upstreams);
  if (registries.length === 0) throw new SetupError(nameNotes(request).join(' '));
  return registries;
}

export function loopbackNotes({ isLoopback, origin }: Listener, who: string): readonly string[] {
  if (!isLoopback) return [];
  return [`${who} will not find weir at ${origin}, which is loopback: let weir listen elsewhere, and use --url.`];
}

/** A TOML basic string, a YAML double-quoted one and a JSON one are the same for what stands here. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
