import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Credential, CredentialError } from '../../../src/upstream/credentials/credentials.ts';
import { normaliseKey, parseCredentialDocument } from '../../../src/upstream/credentials/docker-config.ts';

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** As plain values: key to what is known of the credential, secrets revealed. */
function auths(document: unknown): Record<string, unknown> {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return Object.fromEntries([...parseCredentialDocument(text, 'f').auths].map(([key, value]) => [key, plain(value)]));
}

function plain(credential: Credential): readonly (string | undefined)[] {
  switch (credential.kind) {
    case 'basic':
      return ['basic', credential.username, credential.password.reveal()];
    case 'identityToken':
      return ['identityToken', credential.username, credential.token.reveal()];
    case 'registryToken':
      return ['registryToken', credential.token.reveal()];
  }
}

describe('parseCredentialDocument', () => {
  it('reads the entries that docker login, podman login and others write', () => {
    const found = auths({
      auths: {
        'https://index.docker.io/v1/': { auth: base64('hub:p:a:ss') },
        'ghcr.io': { username: 'u', password: 'p' },
        'x.azurecr.io': { auth: base64('00000000-0000-0000-0000-000000000000:'), identitytoken: 'refresh' },
        'y.test': { registrytoken: 'bearer' },
        'padded.test': { auth: base64('u:p\0\0\0') },
        'only-token.test': { identitytoken: 'refresh' },
        'empty.test': {},
        'quay.io/org/repo': { auth: base64('robot:r') },
        'https://Registry.LAN:5000/v2/': { auth: base64('lan:l') },
      },
    });
    expect(found).toEqual({
      'docker.io': ['basic', 'hub', 'p:a:ss'],
      'ghcr.io': ['basic', 'u', 'p'],
      'x.azurecr.io': ['identityToken', '00000000-0000-0000-0000-000000000000', 'refresh'],
      'y.test': ['registryToken', 'bearer'],
      'padded.test': ['basic', 'u', 'p'],
      'only-token.test': ['identityToken', undefined, 'refresh'],
      'quay.io/org/repo': ['basic', 'robot', 'r'],
      'registry.lan:5000': ['basic', 'lan', 'l'],
    });
  });

  it('reads a .dockercfg, which is the inner map alone', () => {
    expect(auths({ 'ghcr.io': { auth: base64('u:p'), email: 'x@y' } })).toEqual({ 'ghcr.io': ['basic', 'u', 'p'] });
  });

  it('finds nothing in a config.json that holds other settings only', () => {
    expect(auths({ HttpHeaders: { 'User-Agent': 'x' }, proxies: { default: {} }, detachKeys: 'ctrl-e,e' })).toEqual({});
    expect(auths({})).toEqual({});
  });

  it('reads helpers', () => {
    const text = JSON.stringify({
      credsStore: 'desktop',
      credHelpers: {
        '1.dkr.ecr.eu-west-1.amazonaws.com': 'ecr-login',
        'https://index.docker.io/v1/': 'pass',
        'x.test': '',
      },
    });
    const { credsStore, credHelpers } = parseCredentialDocument(text, 'f');
    expect(credsStore).toBe('desktop');
    expect(Object.fromEntries(credHelpers)).toEqual({
      '1.dkr.ecr.eu-west-1.amazonaws.com': 'ecr-login',
      'docker.io': 'pass',
    });
  });

  it.each([
    '',
    '[]',
    'null',
    '{"auths":{"ghcr.io":{"auth":"c4n4ry',
    '{"auths":["c4n4ry"]}',
    '{"auths":{"ghcr.io":"c4n4ry"}}',
    `{"auths":{"ghcr.io":{"auth":"${base64('c4n4ry without colon')}"}}}`,
    '{"auths":{"ghcr.io":{"auth":"c4n4ry!!"}}}',
    `{"auths":${'['.repeat(50)}${']'.repeat(50)}}`,
  ])('names the place and keeps the content to itself: %.40j', (text) => {
    let thrown: unknown;
    try {
      parseCredentialDocument(text, '/run/secrets/config.json');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CredentialError);
    const error = thrown as CredentialError;
    expect(error.kind).toBe('malformed');
    expect(error.message).toContain('/run/secrets/config.json');
    expect(`${error.stack} ${String(error.cause)}`).not.toMatch(/c4n4ry|YzRuNHJ5/);
  });

  it('throws nothing but CredentialError, and never prints a secret', () => {
    const entry = fc.record(
      {
        auth: fc.oneof(fc.string(), fc.base64String()),
        username: fc.string(),
        password: fc.string(),
        identitytoken: fc.string(),
      },
      { requiredKeys: [] },
    );
    const document = fc.oneof(
      fc.json(),
      fc.record({ auths: fc.dictionary(fc.string(), entry) }).map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(document, (text) => {
        try {
          parseCredentialDocument(text, 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(CredentialError);
        }
      }),
    );
    const { auths: parsed } = parseCredentialDocument('{"auths":{"a":{"username":"u","password":"c4n4ry"}}}', 'f');
    expect(JSON.stringify([...parsed])).not.toContain('c4n4ry');
  });

  it('decodes any user and password that were encoded', () => {
    const user = fc.string({ minLength: 1 }).filter((text) => !/[:\0]/.test(text) && text.isWellFormed());
    const password = fc.string().filter((text) => !/^\0|\0$/.test(text) && text.isWellFormed());
    fc.assert(
      fc.property(user, password, (username, secret) => {
        expect(auths({ auths: { 'r.test': { auth: base64(`${username}:${secret}`) } } })).toEqual({
          'r.test': ['basic', username, secret],
        });
      }),
    );
  });
});

describe('normaliseKey', () => {
  it.each([
    ['ghcr.io', 'ghcr.io'],
    ['https://ghcr.io', 'ghcr.io'],
    ['http://GHCR.io/', 'ghcr.io'],
    ['https://ghcr.io/v2/', 'ghcr.io'],
    ['ghcr.io/v1', 'ghcr.io'],
    ['ghcr.io/Org/Repo/', 'ghcr.io/Org/Repo'],
    ['localhost:5000', 'localhost:5000'],
    ['index.docker.io', 'docker.io'],
    ['https://registry-1.docker.io/v2/', 'docker.io'],
    ['docker.io/library/alpine', 'docker.io/library/alpine'],
  ])('%s is %s', (written, key) => {
    expect(normaliseKey(written)).toBe(key);
  });
});
