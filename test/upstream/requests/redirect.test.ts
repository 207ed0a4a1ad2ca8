import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRepository } from '../../../src/oci/reference.ts';
import { isRedirect, nextHop, placeOf } from '../../../src/upstream/requests/redirect.ts';

const from = placeOf(new URL('https://registry.example/v2/a/b/blobs/sha256:00'));
const refuseAll = { mayDowngrade: (): boolean => false };
const digest = `sha256:${'0'.repeat(64)}`;

describe('redirects', () => {
  it('are five statuses', () => {
    const statuses = Array.from({ length: 600 }, (_, status) => status).filter(isRedirect);
    expect(statuses).toEqual([301, 302, 303, 307, 308]);
  });

  it.each([
    [
      'a relative path, as Artifact Registry sends',
      '/artifacts-downloads/x',
      'same',
      'https://registry.example/artifacts-downloads/x',
    ],
    ['the same origin in full', 'https://registry.example:443/x', 'same', 'https://registry.example/x'],
    ['a relative sibling', 'other?x=1', 'same', 'https://registry.example/v2/a/b/blobs/other?x=1'],
    ['storage', 'https://cdn.example/x?sig=1', 'elsewhere', 'https://cdn.example/x?sig=1'],
    ['another port', 'https://registry.example:8443/x', 'elsewhere', 'https://registry.example:8443/x'],
    ['a network-path reference', '//cdn.example/x', 'elsewhere', 'https://cdn.example/x'],
    ['a fragment, which is dropped', 'https://cdn.example/x#y', 'elsewhere', 'https://cdn.example/x'],
    [
      'storage below a path that looks like the API',
      `https://cdn.example/v2/data`,
      'elsewhere',
      'https://cdn.example/v2/data',
    ],
  ])('%s', (_, location, kind, url) => {
    const hop = nextHop(from, location, refuseAll);
    expect(hop).toMatchObject({ kind });
    expect(hop.kind !== 'refused' && hop.place.url.href).toBe(url);
  });

  it.each(['manifests/v1', `blobs/${digest}`, 'tags/list?n=5', `referrers/${digest}`])(
    'to %s of another origin is another registry',
    (rest) => {
      expect(nextHop(from, `https://other.example/v2/x/y/${rest}`, refuseAll)).toMatchObject({
        kind: 'registry',
        registry: new URL('https://other.example/'),
        repository: 'x/y',
      });
    },
  );

  it.each([
    ['nothing', undefined],
    ['an empty Location', ''],
    ['a file', 'file:///etc/passwd'],
    ['another scheme', 'ftp://cdn.example/x'],
    ['a script', 'javascript:alert(1)'],
    ['a user', 'https://user@cdn.example/x'],
    ['a password', 'https://:pw@cdn.example/x'],
    ['a user at the same origin', 'https://user:pw@registry.example/x'],
    ['no URL', 'https://[::1/x'],
    ['a megabyte', `https://cdn.example/${'x'.repeat(1_000_000)}`],
    ['plain http after https', 'http://cdn.example/x'],
    ['plain http at the same host', 'http://registry.example/v2/'],
  ])('%s is refused', (_, location) => {
    expect(nextHop(from, location, refuseAll)).toMatchObject({ kind: 'refused', reason: expect.any(String) });
  });

  it('plain http may follow https where configuration names the place, and plain http always', () => {
    const rules = { mayDowngrade: ({ host }: URL): boolean => host === 'store.lan' };
    expect(nextHop(from, 'http://store.lan/x', rules)).toMatchObject({ kind: 'elsewhere' });
    expect(nextHop(from, 'http://cdn.example/x', rules)).toMatchObject({ kind: 'refused' });
    expect(nextHop(placeOf(new URL('http://lab/v2/')), 'http://cdn.example/x', refuseAll)).toMatchObject({
      kind: 'elsewhere',
    });
  });

  it('whatever the Location says, nothing but http and https without a user is followed, and only the origin is the same', () => {
    const piece = fc.constantFrom(
      'http:',
      'https:',
      'file:',
      '/',
      '//',
      '\\',
      '@',
      'registry.example',
      'evil',
      ':80',
      '?',
      '#',
      'v2/',
    );
    const location = fc.oneof(
      fc.array(piece, { maxLength: 8 }).map((all) => all.join('')),
      fc.webUrl(),
      fc.string(),
    );
    const seen = { same: 0, registry: 0, elsewhere: 0, refused: 0 };
    fc.assert(
      fc.property(location, (text) => {
        const hop = nextHop(from, text, { mayDowngrade: () => true });
        seen[hop.kind]++;
        if (hop.kind === 'refused') return;
        const { url, target } = hop.place;
        expect(['http:', 'https:']).toContain(url.protocol);
        expect(url.username + url.password).toBe('');
        expect(hop.kind === 'same').toBe(url.origin === from.url.origin);
        // Whatever is sent can stand in the first line of a request, and nothing in it is taken for a place.
        expect(target).toMatch(/^\/[\x21-\x7e\x80-\xff]*$/);
        expect(new URL(`${url.origin}${target}`).origin).toBe(url.origin);
      }),
      { numRuns: 3000 },
    );
    expect(Math.min(seen.same, seen.elsewhere, seen.refused)).toBeGreaterThan(50);
  });

  describe('ask for what their sender wrote, octet by octet', () => {
    const utf8 = Buffer.from('ä').toString('latin1');
    it.each([
      ["https://cdn.example/a'b?sig=o'k", "/a'b?sig=o'k"],
      ['https://cdn.example/a/%2e%2e/b?x=%2E', '/a/%2e%2e/b?x=%2E'],
      ['https://cdn.example/a|b?c|d', '/a|b?c|d'],
      [`https://cdn.example/${utf8}?${utf8}`, `/${utf8}?${utf8}`],
      ['https://cdn.example/%2B%2F+/=~^{}"`?a="b"<c>', '/%2B%2F+/=~^{}"`?a="b"<c>'],
      ['https://cdn.example//twice//', '//twice//'],
      ['HTTPS://CDN.example:443?x=1', '/?x=1'],
      ['https://cdn.example', '/'],
      ['//cdn.example/%C3%a4#part', '/%C3%a4'],
      ['/s/%2e%2e/x?y#z', '/s/%2e%2e/x?y'],
      ["other'?x='1", "/v2/a/b/blobs/other'?x='1"],
      ["?x='1", "/v2/a/b/blobs/sha256:00?x='1"],
      // What leads up as it is written leads up.
      ['https://cdn.example/a/./b/../c/..', '/a/'],
      ['../../x', '/v2/a/x'],
      ['https://cdn.example/../..', '/'],
    ])('%s', (location, target) => {
      expect(nextHop(from, location, refuseAll)).toMatchObject({ place: { target } });
    });

    it.each([
      ['a blank', 'https://cdn.example/a b?c d', '/a%20b?c%20d'],
      ['a tab, which parsers leave out', 'https://cdn.example/a\tb', '/ab'],
      ['no authority', 'https:cdn.example', '/v2/a/b/blobs/cdn.example'],
      ['backslashes for slashes', '\\\\cdn.example\\x', '/x'],
      ['too many slashes', '///cdn.example/x', '/x'],
      ['a backslash that ends the host', 'https://cdn.example\\@evil.example/x', '/@evil.example/x'],
    ])('but %s is sent as the URL was understood', (_, location, target) => {
      expect(nextHop(from, location, refuseAll)).toMatchObject({ place: { target } });
    });
  });

  describe('on the same origin', () => {
    const repository = parseRepository('a/b');
    const rules = { ...refuseAll, ...(repository && { asked: { repository, below: '/base' } }) };
    const there = placeOf(new URL('https://registry.example/base/v2/a/b/blobs/sha256:00'));

    it.each([
      `/base/v2/secret/blobs/${digest}`,
      '/v2/secret/manifests/v1',
      '/base/v2/a/%2e%2e/secret/tags/list',
      '/base/v2/a%252fsecret/tags/list',
      '/base/v2/a/%25252e%25252e/secret/tags/list',
      `/base/v2/%73ecret/blobs/${digest}`,
    ])('to %s is as a stranger, since it is another repository', (location) => {
      expect(nextHop(there, location, rules)).toMatchObject({
        kind: 'registry',
        repository: expect.stringMatching(/secret$/),
      });
    });

    it.each([`/base/v2/a/b/blobs/${digest}`, '/base/artifacts-downloads/x', '/x?y'])(
      'to %s is as who we are',
      (location) => {
        expect(nextHop(there, location, rules)).toMatchObject({ kind: 'same' });
      },
    );
  });
});
