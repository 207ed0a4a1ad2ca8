import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRedirect, nextHop } from '../../src/upstream/redirect.ts';

const from = new URL('https://registry.example/v2/a/b/blobs/sha256:00');
const refuseAll = (): boolean => false;
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
    expect(hop.kind !== 'refused' && hop.url.href).toBe(url);
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
    const mayDowngrade = ({ host }: URL): boolean => host === 'store.lan';
    expect(nextHop(from, 'http://store.lan/x', mayDowngrade)).toMatchObject({ kind: 'elsewhere' });
    expect(nextHop(from, 'http://cdn.example/x', mayDowngrade)).toMatchObject({ kind: 'refused' });
    expect(nextHop(new URL('http://lab/v2/'), 'http://cdn.example/x', refuseAll)).toMatchObject({ kind: 'elsewhere' });
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
        const hop = nextHop(from, text, () => true);
        seen[hop.kind]++;
        if (hop.kind === 'refused') return;
        expect(['http:', 'https:']).toContain(hop.url.protocol);
        expect(hop.url.username + hop.url.password).toBe('');
        expect(hop.kind === 'same').toBe(hop.url.origin === from.origin);
      }),
      { numRuns: 3000 },
    );
    expect(Math.min(seen.same, seen.elsewhere, seen.refused)).toBeGreaterThan(50);
  });
});
