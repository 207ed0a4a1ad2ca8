import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatListen,
  keyProblem,
  maskUserInfo,
  parseHost,
  parseListen,
  parseRealm,
  parseUrl,
} from '../../../src/config/schema/addresses.ts';

describe('listen addresses', () => {
  it.each([
    ['127.0.0.1:5000', '127.0.0.1', 5000],
    ['0.0.0.0:5000', '0.0.0.0', 5000],
    ['[::1]:5000', '::1', 5000],
    [':5000', '::', 5000],
    ['localhost:0', 'localhost', 0],
    ['Weir_Cache.Lab:80', 'weir_cache.lab', 80],
  ])('%s', (text, host, port) => {
    expect(parseListen(text)).toEqual({ value: { host, port } });
  });

  it.each([
    '',
    '5000',
    'localhost',
    '::1:5000',
    '127.0.0.1:',
    'a:65536',
    'a:-1',
    'http://a:5000',
    'a b:5000',
    '[::1]',
    '300.1.1.1:80',
    '-a:80',
    '[1.2.3.4]:80',
  ])('refuses %j and says what to write', (text) => {
    expect(parseListen(text)).toEqual({ problem: expect.stringContaining('127.0.0.1:5000') });
  });

  it('survive being written and read', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.nat({ max: 65_535 }), (host, port) => {
        const address = { host: host.toLowerCase(), port };
        expect(parseListen(formatListen(address))).toEqual({ value: address });
      }),
    );
  });
});

describe('hosts and realms', () => {
  it.each(['mirror.example', 'mirror.example:5000', '10.0.0.5', '[fd00::1]:443', 'xn--bcher-kva.example'])(
    '%s is a host',
    (text) => {
      expect(parseHost(text)).toEqual({ value: text });
      expect(parseRealm(text)).toEqual({ value: text });
    },
  );

  it('are compared in lower case, so they are kept in lower case', () => {
    expect(parseHost('Mirror.Example')).toEqual({ value: 'mirror.example' });
    expect(parseRealm('HTTPS://Auth.Example')).toEqual({ value: 'https://auth.example' });
  });

  it.each(['', 'https://a.example', 'a/b', 'me@a.example', '*.example', 'a:0', 'bücher.example', 'a..b'])(
    '%j is no host',
    (text) => {
      expect(parseHost(text)).toHaveProperty('problem');
    },
  );

  it('a realm is a host or an origin, not a page', () => {
    expect(parseRealm('http://auth.lab:5001')).toEqual({ value: 'http://auth.lab:5001' });
    expect(parseRealm('https://auth.example/token')).toEqual({
      problem: 'write the origin alone: https://auth.example',
    });
    expect(parseRealm('ftp://auth.example')).toHaveProperty('problem');
    expect(parseRealm('*')).toEqual({ problem: expect.stringContaining('https://auth.example') });
  });
});

describe('URLs', () => {
  it.each([
    ['https://ghcr.io', 'https://ghcr.io'],
    ['https://ghcr.io/', 'https://ghcr.io'],
    ['HTTP://Localhost:6000', 'http://localhost:6000'],
    ['https://a.example:443/base//', 'https://a.example/base'],
    ['http://[::1]:6000', 'http://[::1]:6000'],
  ])('%s is %s', (text, url) => {
    expect(parseUrl(text)).toEqual({ value: url });
  });

  it.each([
    ['ghcr.io', 'https://'],
    ['ftp://ghcr.io', 'https://'],
    ['https://', 'https://'],
    ['https:ghcr.io', 'https://'],
    ['https://a b', 'https://'],
    ['https://me@ghcr.io', 'passwordFile'],
    ['https://me:pw@ghcr.io', 'passwordFile'],
    ['https://ghcr.io?x=1', 'query'],
    ['https://ghcr.io/#', 'fragment'],
    ['https://a..b', 'host'],
  ])('%s is refused', (text, hint) => {
    expect(parseUrl(text)).toEqual({ problem: expect.stringContaining(hint) });
  });

  it('what it returns is read as the same URL again, and holds no credentials', () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true }), (text) => {
        const parsed = parseUrl(text);
        if ('problem' in parsed) return;
        expect(parseUrl(parsed.value)).toEqual(parsed);
        expect(new URL(parsed.value).username).toBe('');
      }),
    );
  });

  it('credentials never survive into a message', () => {
    expect(maskUserInfo('https://me:hunter2@ghcr.io/x http://a@b')).toBe('https://***@ghcr.io/x http://***@b');
    expect(maskUserInfo('https://me:p@ss:w@ghcr.io')).toBe('https://***@ghcr.io');
    expect(maskUserInfo('https://me:p/ss@ghcr.io')).toBe('https://***@ghcr.io');
    expect(maskUserInfo('https://ghcr.io/x')).toBe('https://ghcr.io/x');
  });
});

describe('names of upstreams', () => {
  it.each(['docker.io', 'localhost:5000', 'lab', 'a', 'my_registry', '10.0.0.1:80', 'a-5000'])('%s is fine', (key) => {
    expect(keyProblem(key)).toBeUndefined();
  });

  it.each([
    ['Docker.IO', 'docker.io'],
    ['https://ghcr.io', 'url'],
    ['', 'ghcr.io'],
    ['a/b', 'ghcr.io'],
    ['a:0', 'ghcr.io'],
    ['a:65536', 'ghcr.io'],
    ['..', 'ghcr.io'],
    ['a..b', 'ghcr.io'],
    ['.a', 'ghcr.io'],
    ['[::1]:5000', 'ghcr.io'],
    ['constructor', 'ghcr.io'],
    ['__proto__', 'ghcr.io'],
    ['a b', 'ghcr.io'],
    ['a'.repeat(300), 'ghcr.io'],
  ])('%s is refused', (key, hint) => {
    expect(keyProblem(key)).toContain(hint);
  });
});
