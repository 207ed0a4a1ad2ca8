import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeRealm } from '../../../src/upstream/auth/realm.ts';

function verdict(registry: string, realm: string, realms: readonly string[] = []): string {
  return judgeRealm(realm, new URL(registry), realms).kind;
}

describe('judgeRealm', () => {
  const trusted: readonly (readonly [string, string])[] = [
    ['https://registry-1.docker.io', 'https://auth.docker.io/token'],
    ['https://index.docker.io', 'https://auth.docker.io/token'],
    ['https://ghcr.io', 'https://ghcr.io/token'],
    ['https://quay.io', 'https://quay.io/v2/auth'],
    ['https://nvcr.io', 'https://nvcr.io/proxy_auth'],
    ['https://x.azurecr.io', 'https://x.azurecr.io/oauth2/token'],
    ['https://europe-docker.pkg.dev', 'https://europe-docker.pkg.dev/v2/token'],
    ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
    ['https://docker.elastic.co', 'https://docker-auth.elastic.co/auth'],
    ['https://registry.digitalocean.com', 'https://api.digitalocean.com/v2/registry/auth'],
    ['https://registry.cn-hangzhou.aliyuncs.com', 'https://dockerauth.cn-hangzhou.aliyuncs.com/auth'],
    ['https://team.ap-southeast-1.personal.cr.aliyuncs.com', 'https://dockerauth.ap-southeast-1.aliyuncs.com/auth'],
    ['https://harbor.lan:8443/prefix', 'https://harbor.lan:8443/service/token'],
    ['http://127.0.0.1:5000', 'http://127.0.0.1:5000/token'],
    ['http://registry.lan', 'https://registry.lan/token'],
    ['https://ghcr.io', 'https://GHCR.io:443/token#fragment'],
  ];

  it.each(trusted)('%s may send its credential to %s', (registry, realm) => {
    expect(verdict(registry, realm)).toBe('trusted');
  });

  const anonymous: readonly (readonly [string, string])[] = [
    ['https://registry-1.docker.io', 'https://auth.docker.io.evil/token'],
    ['https://registry-1.docker.io', 'https://evilauth.docker.io/token'],
    ['https://registry-1.docker.io', 'https://auth.docker.io:8443/token'],
    ['https://registry-1.docker.io', 'https://auth.docker.io./token'],
    ['https://registry-1.docker.io:444', 'https://auth.docker.io/token'],
    ['https://registry-1.docker.io', 'http://auth.docker.io/token'],
    ['https://ghcr.io', 'http://ghcr.io/token'],
    ['https://ghcr.io', 'https://ghcr.io:8443/token'],
    ['https://ghcr.io', 'https://token.ghcr.io/token'],
    ['https://x.azurecr.io', 'https://y.azurecr.io/oauth2/token'],
    ['https://gitlab.com', 'https://registry.gitlab.com/jwt/auth'],
    ['https://registry.cn-hangzhou.aliyuncs.com', 'https://dockerauth.oss-cn-hangzhou.aliyuncs.com/auth'],
    ['https://registry.oss-cn-hangzhou.aliyuncs.com', 'https://dockerauth.oss-cn-hangzhou.aliyuncs.com/auth'],
    ['http://127.0.0.1:5000', 'http://127.0.0.1:5001/token'],
    ['http://127.0.0.1:5000', 'http://localhost:5000/token'],
    ['http://localhost:5000', 'http://127.0.0.1:5000/token'],
    ['https://ghcr.io', 'https://169.254.169.254/latest/meta-data'],
    ['https://ghcr.io', 'https://[::ffff:a9fe:a9fe]/'],
    ['http://registry-1.docker.io', 'https://auth.docker.io/token'],
  ];

  it.each(anonymous)('%s sends no credential to %s', (registry, realm) => {
    expect(verdict(registry, realm)).toBe('anonymous');
  });

  it.each([
    '',
    '/token',
    'token',
    'ghcr.io',
    'ftp://ghcr.io/token',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'https://user@ghcr.io/token',
    'https://:pass@ghcr.io/token',
    'https://',
    `https://ghcr.io/${'x'.repeat(5000)}`,
  ])('does not even ask at %j', (realm) => {
    expect(verdict('https://ghcr.io', realm)).toBe('unusable');
  });

  it('trusts what configuration lists, and only that', () => {
    const realms = ['auth.lan', 'tokens.lan:8443', 'http://plain.lan:81'];
    const from = 'https://registry.lan';
    expect(verdict(from, 'https://auth.lan/t', realms)).toBe('trusted');
    expect(verdict(from, 'https://tokens.lan:8443/t', realms)).toBe('trusted');
    expect(verdict(from, 'http://plain.lan:81/t', realms)).toBe('trusted');
    expect(verdict(from, 'http://auth.lan/t', realms)).toBe('anonymous');
    expect(verdict(from, 'https://auth.lan:8443/t', realms)).toBe('anonymous');
    expect(verdict(from, 'https://tokens.lan/t', realms)).toBe('anonymous');
    expect(verdict(from, 'https://plain.lan:81/t', realms)).toBe('anonymous');
    expect(verdict('http://registry.lan', 'http://auth.lan/t', realms)).toBe('trusted');
  });

  it('never trusts another origin for a registry that the built-in list does not name', () => {
    const host = fc.domain().filter((name) => !/docker|gitlab|elastic|digitalocean|aliyun/.test(name));
    const place = fc.tuple(fc.constantFrom('http', 'https'), host, fc.constantFrom('', ':81', ':8443'));
    fc.assert(
      fc.property(place, place, ([scheme, name, port], [realmScheme, realmName, realmPort]) => {
        const registry = new URL(`${scheme}://${name}${port}`);
        const realm = new URL(`${realmScheme}://${realmName}${realmPort}/token`);
        const isUpgrade = registry.hostname === realm.hostname && registry.port === '' && realm.port === '';
        fc.pre(registry.origin !== realm.origin && !isUpgrade);
        expect(judgeRealm(realm.href, registry, []).kind).toBe('anonymous');
      }),
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.webUrl({ withQueryParameters: true })),
        fc.array(fc.string()),
        (realm, realms) => {
          judgeRealm(realm, new URL('https://ghcr.io'), realms);
        },
      ),
    );
  });
});
