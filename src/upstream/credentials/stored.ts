/** Credentials that other tools have stored: files of Docker, Podman and Kubernetes, and the helpers they name. */
import type { Clock, Timer } from '../../lib/clock.ts';
import {
  type Credential,
  type CredentialSource,
  type CredentialTarget,
  helperPlace,
  placeOf,
  registryName,
} from './credentials.ts';
import { type CredentialDocument, parseCredentialDocument } from './docker-config.ts';
import { FreshFile } from './fresh-file.ts';
import { type CredentialHelpers, helperServer } from './helper.ts';

/** Stands for whatever credential is stored for a registry. */
export const storedPlace = 'stored';

export interface CredentialStoreOptions {
  /** The text of such a file that comes from elsewhere; looked at before the files. `name` stands for it in errors. */
  readonly inline?: { readonly name: string; readonly text: { reveal(): string } };
  /** In order of precedence. A file that is not there is no error. */
  readonly files: readonly string[];
  readonly helpers: CredentialHelpers;
}

/** What is remembered on the word of a stored credential may outlive it for this long, milliseconds. */
const lookEveryMs = 1000;

/**
 * The first file that has a credential wins. Within one: `credHelpers`, then `credsStore`, then `auths`, each by the
 * most specific key (containers-auth.json(5)): `host/namespace/repository`, `host/namespace`, `host`, then patterns of
 * hosts, in which Kubernetes allows `*`.
 */
export class CredentialStore implements CredentialSource {
  readonly #helpers: CredentialHelpers;
  readonly #inline: CredentialStoreOptions['inline'];
  readonly #files: readonly FreshFile<CredentialDocument>[];
  #onChange: (() => void) | undefined;
  #inlineDocument: CredentialDocument | undefined;

  constructor({ inline, files, helpers }: CredentialStoreOptions) {
    this.#helpers = helpers;
    this.#inline = inline;
    const onChange = (): void => this.#onChange?.();
    this.#files = files.map((path) => new FreshFile(path, (text) => parseCredentialDocument(text, path), onChange));
  }

  /** Reads everything once, so that faults show at start and `mayAnswer` is exact. Rejects with CredentialError. */
  async load(): Promise<void> {
    this.#parseInline();
    for (const file of this.#files) await file.read();
  }

  /**
   * Looks at the files every second, so that `isAt` notices what nobody asks for, and tells of each change, whoever has
   * noticed it. Once for each store, until disposed.
   */
  watch(clock: Pick<Clock, 'setTimer'>, onChange: () => void): Disposable {
    this.#onChange = onChange;
    let timer: Timer | undefined;
    let isOver = this.#files.length === 0;
    const arm = (): void => {
      if (!isOver) timer = clock.setTimer(lookEveryMs, () => void this.look().then(arm));
    };
    arm();
    return {
      [Symbol.dispose]: () => {
        isOver = true;
        timer?.cancel();
        this.#onChange = undefined;
      },
    };
  }

  /** Never rejects: what cannot be read stays as it was, until a request needs it. */
  async look(): Promise<void> {
    await Promise.allSettled(this.#files.map((file) => file.read()));
  }

  async get(target: CredentialTarget, signal: AbortSignal): Promise<Credential | undefined> {
    const inline = this.#parseInline();
    const first = inline === undefined ? undefined : await this.#look(inline, target, signal);
    if (first !== undefined) return first;
    for (const file of this.#files) {
      const document = await file.read();
      const credential = document === undefined ? undefined : await this.#look(document, target, signal);
      if (credential !== undefined) return credential;
    }
    return undefined;
  }

  refused(target: CredentialTarget): void {
    for (const file of this.#files) {
      const document = file.latest;
      file.forget();
      if (document !== undefined && document !== 'unknown') this.#refusedHelpers(document, target);
    }
    if (this.#inlineDocument !== undefined) this.#refusedHelpers(this.#inlineDocument, target);
  }

  mayAnswer(registry: URL): boolean {
    return this.#documents().some(
      (document) => document === 'unknown' || (document !== undefined && speaksOf(document, registry)),
    );
  }

  isAt(place: string, registry: URL): boolean {
    return this.#documents().some((document) => {
      if (document === 'unknown') return true;
      if (document === undefined || !speaksOf(document, registry)) return false;
      // From before links remembered more than that.
      if (place === storedPlace) return true;
      const helpers = [...document.credHelpers.values(), document.credsStore ?? ''].map(helperPlace);
      return helpers.includes(place) || [...document.auths.values()].some((each) => placeOf(each) === place);
    });
  }

  #documents(): readonly (CredentialDocument | 'unknown' | undefined)[] {
    const inline = this.#inline === undefined ? [] : [this.#inlineDocument ?? ('unknown' as const)];
    return [...inline, ...this.#files.map((file) => file.latest)];
  }

  async #look(
    document: CredentialDocument,
    target: CredentialTarget,
    signal: AbortSignal,
  ): Promise<Credential | undefined> {
    for (const name of helpersFor(document, target)) {
      const credential = await this.#helpers.get(name, helperServer(registryName(target.registry)), signal);
      if (credential !== undefined) return credential;
    }
    return mostSpecific(document.auths, target);
  }

  #refusedHelpers(document: CredentialDocument, target: CredentialTarget): void {
    for (const name of helpersFor(document, target))
      this.#helpers.refused(name, helperServer(registryName(target.registry)));
  }

  #parseInline(): CredentialDocument | undefined {
    if (this.#inline === undefined) return undefined;
    this.#inlineDocument ??= parseCredentialDocument(this.#inline.text.reveal(), this.#inline.name);
    return this.#inlineDocument;
  }
}

function speaksOf({ auths, credHelpers, credsStore }: CredentialDocument, registry: URL): boolean {
  if (credsStore !== undefined) return true;
  const hosts = [...auths.keys(), ...credHelpers.keys()].map((key) => key.split('/', 1)[0] ?? '');
  return hosts.some((host) => namesOf(registry).some((name) => hostMatches(host, name)));
}

function helpersFor({ credHelpers, credsStore }: CredentialDocument, target: CredentialTarget): readonly string[] {
  const own = mostSpecific(credHelpers, target);
  return [own, credsStore].filter((name) => name !== undefined);
}

function mostSpecific<T>(entries: ReadonlyMap<string, T>, { registry, repository }: CredentialTarget): T | undefined {
  const parts = repository.split('/');
  const names = namesOf(registry);
  for (let length = parts.length; length >= 0; length--) {
    for (const name of names) {
      const found = entries.get([name, ...parts.slice(0, length)].join('/'));
      if (found !== undefined) return found;
    }
  }
  for (const [key, entry] of entries) {
    if (key.includes('*') && !key.includes('/') && names.some((name) => hostMatches(key, name))) return entry;
  }
  return undefined;
}

/** A key may spell out the port that the URL leaves away. */
function namesOf(registry: URL): readonly string[] {
  const name = registryName(registry);
  if (registry.port !== '') return [name];
  return [name, `${registry.hostname}:${registry.protocol === 'https:' ? 443 : 80}`];
}

/** `*` stands for a part of one label, as in the kubelet: `*.azurecr.io` is not `a.b.azurecr.io`. */
function hostMatches(pattern: string, host: string): boolean {
  if (!pattern.includes('*')) return pattern === host;
  const wanted = pattern.split('.');
  const labels = host.split('.');
  return wanted.length === labels.length && wanted.every((part, i) => labelMatches(part, labels[i] ?? ''));
}

function labelMatches(pattern: string, label: string): boolean {
  const [head = '', ...pieces] = pattern.split('*');
  const tail = pieces.pop();
  if (tail === undefined) return pattern === label;
  if (!label.startsWith(head) || !label.endsWith(tail) || label.length < head.length + tail.length) return false;
  // Each piece as early as it can be: if that does not fit, nothing later does.
  const middle = label.slice(head.length, label.length - tail.length);
  let from = 0;
  return pieces.every((piece) => {
    const at = middle.indexOf(piece, from);
    from = at + piece.length;
    return at >= 0;
  });
}
