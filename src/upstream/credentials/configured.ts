/** The credential that an upstream's own configuration names. */
import {
  type Credential,
  CredentialError,
  type CredentialSource,
  type CredentialTarget,
  credentialIdentity,
  helperPlace,
  registryName,
} from './credentials.ts';
import { FreshFile } from './fresh-file.ts';
import { type CredentialHelpers, helperServer } from './helper.ts';
import { isSameOrigin } from '../network/origin.ts';
import { Secret } from '../../lib/secret.ts';

/** A file is read when it is needed and again when it changes; one line break at its end does not belong to the secret. */
export type SecretSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'value'; readonly secret: { reveal(): string } };

export type ConfiguredCredential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: SecretSource }
  | { readonly kind: 'identityToken'; readonly token: SecretSource }
  | { readonly kind: 'registryToken'; readonly token: SecretSource }
  /** `docker-credential-<name>` on the PATH. */
  | { readonly kind: 'helper'; readonly name: string };

/** A source for exactly the upstream's `endpoints`, whatever other registries its redirects lead to. */
export function configuredCredential(
  config: ConfiguredCredential,
  endpoints: readonly URL[],
  helpers: CredentialHelpers,
): CredentialSource {
  const source = config.kind === 'helper' ? fromHelper(config.name, helpers) : fromSecret(config);
  const mayAnswer = (registry: URL): boolean => endpoints.some((endpoint) => isSameOrigin(endpoint, registry));
  return {
    get: (target, signal) => (mayAnswer(target.registry) ? source.get(target, signal) : Promise.resolve(undefined)),
    refused(target) {
      if (mayAnswer(target.registry)) source.refused(target);
    },
    mayAnswer,
    isAt: (place, registry) => mayAnswer(registry) && place === placeOfConfigured(config),
  };
}

/** As `placeOf` says it of the credential that this becomes. */
export function placeOfConfigured(config: ConfiguredCredential): string {
  switch (config.kind) {
    case 'basic':
      return `${config.kind} ${config.username}`;
    case 'helper':
      return helperPlace(config.name);
    case 'identityToken':
    case 'registryToken':
      return config.kind;
  }
}

type Source = Pick<CredentialSource, 'get' | 'refused'>;

function fromHelper(name: string, helpers: CredentialHelpers): Source {
  const server = ({ registry }: CredentialTarget): string => helperServer(registryName(registry));
  return {
    async get(target, signal) {
      const credential = await helpers.get(name, server(target), signal);
      if (credential !== undefined) return credential;
      // Here the helper was named for this upstream: nothing is not what the operator meant.
      throw new CredentialError('helperFailed', `docker-credential-${name} has nothing for ${server(target)}`);
    },
    refused: (target) => helpers.refused(name, server(target)),
  };
}

function fromSecret(config: Exclude<ConfiguredCredential, { kind: 'helper' }>): Source {
  const secret = config.kind === 'basic' ? config.password : config.token;
  if (secret.kind === 'value') {
    const credential = credentialOf(config, secret.secret.reveal());
    return { get: () => Promise.resolve(credential), refused: () => undefined };
  }
  const file = new FreshFile(secret.path, (text) => {
    const value = text.replace(/\r?\n$/, '');
    if (value === '') throw new CredentialError('malformed', `${secret.path} is empty`);
    return credentialOf(config, value);
  });
  return {
    async get() {
      const credential = await file.read();
      if (credential === undefined) throw new CredentialError('unreadable', `cannot read ${secret.path}: no such file`);
      return credential;
    },
    refused: () => file.forget(),
  };
}

function credentialOf(config: Exclude<ConfiguredCredential, { kind: 'helper' }>, secret: string): Credential {
  const name = 'config';
  switch (config.kind) {
    case 'basic': {
      const { kind, username } = config;
      return {
        kind,
        name,
        identity: credentialIdentity(kind, username, secret),
        username,
        password: new Secret(secret),
      };
    }
    case 'identityToken': {
      const identity = credentialIdentity(config.kind, secret);
      return { kind: config.kind, name, identity, username: undefined, token: new Secret(secret) };
    }
    case 'registryToken':
      return { kind: config.kind, name, identity: credentialIdentity(config.kind, secret), token: new Secret(secret) };
  }
}
