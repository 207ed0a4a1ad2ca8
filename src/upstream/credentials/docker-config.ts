/**
 * The file that `docker login` and `podman login` write: Docker's config.json, containers' auth.json, a Kubernetes
 * `.dockerconfigjson`, or the older .dockercfg, which is the inner map alone. Errors name keys, never values: a JSON
 * parser's own message quotes the text around the fault, so it is not passed on.
 */
import {
  field,
  isJsonObject,
  type JsonObject,
  parseJson as readJson,
  textField,
  textMapField,
} from '../../lib/json/json.ts';
import { type Credential, CredentialError, credentialIdentity, hubHosts } from './credentials.ts';
import { Secret } from '../../lib/secret.ts';
import { trimmedEnd } from '../../lib/trim.ts';

export interface CredentialDocument {
  /** By normalised key: `host[:port]` or `host[:port]/namespace…`. Entries without a credential are left out. */
  readonly auths: ReadonlyMap<string, Credential>;
  /** Helper names, by normalised key. */
  readonly credHelpers: ReadonlyMap<string, string>;
  /** The helper for every registry. */
  readonly credsStore: string | undefined;
}

const bounds = { depth: 32 };

/** `place` names the file (or variable) in errors. Throws CredentialError `malformed`. */
export function parseCredentialDocument(text: string, place: string): CredentialDocument {
  const root = parseJson(text, place);
  const isModern = ['auths', 'credsStore', 'credHelpers'].some((name) => Object.hasOwn(root, name));
  const entries = isModern ? (field(root, 'auths') ?? {}) : root;
  if (!isJsonObject(entries)) throw malformed(place, '"auths" is not an object');
  const auths = new Map<string, Credential>();
  for (const [written, entry] of Object.entries(entries)) {
    if (!isJsonObject(entry)) {
      // The other settings of a config.json that has no credentials at all look like a .dockercfg here.
      if (isModern) throw malformed(place, `the entry of ${JSON.stringify(written)} is not an object`);
      continue;
    }
    const key = normaliseKey(written);
    const credential = parseEntry(entry, `file ${key}`, () =>
      malformed(place, `the entry of ${JSON.stringify(written)}`),
    );
    if (credential !== undefined && !auths.has(key)) auths.set(key, credential);
  }
  const helpers = Object.entries(textMapField(root, 'credHelpers') ?? {});
  return {
    auths,
    credHelpers: new Map(helpers.filter(([, name]) => name !== '').map(([key, name]) => [normaliseKey(key), name])),
    credsStore: textField(root, 'credsStore') || undefined,
  };
}

/** `https://index.docker.io/v1/` and the like are hosts in old clothes; a path that remains is a namespace. */
export function normaliseKey(written: string): string {
  const bare = trimmedEnd(written.trim().replace(/^https?:\/\//i, ''), '/').replace(/\/v[12]$/, '');
  const slash = bare.indexOf('/');
  const host = (slash < 0 ? bare : bare.slice(0, slash)).toLowerCase();
  return `${hubHosts.has(host) ? 'docker.io' : host}${slash < 0 ? '' : bare.slice(slash)}`;
}

function parseEntry(entry: JsonObject, name: string, bad: () => CredentialError): Credential | undefined {
  const registryToken = textField(entry, 'registrytoken');
  if (registryToken) {
    return {
      kind: 'registryToken',
      name,
      identity: credentialIdentity('registryToken', registryToken),
      token: new Secret(registryToken),
    };
  }
  const { username, password } = userAndPassword(entry, bad);
  const identityToken = textField(entry, 'identitytoken');
  if (identityToken) {
    const identity = credentialIdentity('identityToken', username, identityToken);
    return { kind: 'identityToken', name, identity, username: username || undefined, token: new Secret(identityToken) };
  }
  if (username === '' && password === '') return undefined;
  return {
    kind: 'basic',
    name,
    identity: credentialIdentity('basic', username, password),
    username,
    password: new Secret(password),
  };
}

/** `auth` is base64 of `user:password`, sometimes padded with NULs; a password may hold colons, a user name none. */
function userAndPassword(entry: JsonObject, bad: () => CredentialError): { username: string; password: string } {
  const auth = textField(entry, 'auth');
  if (!auth) return { username: textField(entry, 'username') ?? '', password: textField(entry, 'password') ?? '' };
  const text = /^[A-Za-z0-9+/_-]+={0,2}\s*$/.test(auth) ? Buffer.from(auth, 'base64').toString('utf8') : '';
  const colon = text.indexOf(':');
  if (colon < 0) throw bad();
  return {
    username: text.slice(0, colon),
    password: trimmedEnd(text.slice(colon + 1), '\0').replace(/^\0+/, ''),
  };
}

function parseJson(text: string, place: string): JsonObject {
  const value = readJson(text, bounds);
  if (!isJsonObject(value)) throw malformed(place, 'not a JSON object');
  return value;
}

function malformed(place: string, what: string): CredentialError {
  return new CredentialError('malformed', `${place} is malformed: ${what}`);
}
