import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { builtinUpstreams } from '../../src/oci/known-registries.ts';
import { createRouter, type Routed, type RoutedRequest, RoutingError } from '../../src/routing/router.ts';

const upstreams = [
  { key: 'docker.io', hosts: [], isDefault: true },
  { key: 'ghcr.io', hosts: ['ghcr.mirror.lan', 'exact.lan:8443'], isDefault: false },
  { key: 'lab', hosts: [], isDefault: false },
  { key: 'myreg:5000', hosts: [], isDefault: false },
];
const router = createRouter(upstreams);

function route(name: string, rest: Partial<RoutedRequest> = {}): Routed {
  return router.route({ ns: [], host: 'localhost:5000', name, ...rest });
}

/** `upstream name`, or undefined for 404. */
function short(name: string, rest: Partial<RoutedRequest> = {}): string | undefined {
  const routed = route(name, rest);
  return routed.kind === 'found' ? `${routed.upstream} ${routed.repository}` : undefined;
}

describe('routing', () => {
  it.each([
    ['ns', 'org/app', { ns: ['ghcr.io'] }, 'ghcr.io org/app'],
    ['ns before a mapped Host', 'org/app', { ns: ['lab'], host: 'ghcr.mirror.lan' }, 'lab org/app'],
    ['ns before the path', 'lab/app', { ns: ['ghcr.io'] }, 'ghcr.io lab/app'],
    ['ns with the same upstream in the path', 'ghcr.io/org/app', { ns: ['ghcr.io'] }, 'ghcr.io org/app'],
    ['ns with a port', 'app', { ns: ['myreg:5000'] }, 'myreg:5000 app'],
    ['ns with a port and its alias in the path', 'myreg-5000/app', { ns: ['myreg:5000'] }, 'myreg:5000 app'],
    ['ns in capitals, as host names go', 'org/app', { ns: ['GHCR.io'] }, 'ghcr.io org/app'],
    ['Host', 'org/app', { host: 'ghcr.mirror.lan' }, 'ghcr.io org/app'],
    ['Host with our port', 'org/app', { host: 'GHCR.mirror.lan:5000' }, 'ghcr.io org/app'],
    ['Host mapped with a port', 'org/app', { host: 'exact.lan:8443' }, 'ghcr.io org/app'],
    ['Host mapped with another port', 'org/app', { host: 'exact.lan:8444' }, 'docker.io org/app'],
    ['Host with the dot of a full name', 'org/app', { host: 'ghcr.mirror.lan.' }, 'ghcr.io org/app'],
    ['Host with that dot and a port', 'org/app', { host: 'exact.lan.:8443' }, 'ghcr.io org/app'],
    ['Host with two of them', 'org/app', { host: 'ghcr.mirror.lan..' }, 'docker.io org/app'],
    ['Host before the path', 'lab/app', { host: 'ghcr.mirror.lan' }, 'ghcr.io lab/app'],
    ['a mapped Host whose names have dots', 'a.b/app', { host: 'ghcr.mirror.lan' }, 'ghcr.io a.b/app'],
    ['path', 'ghcr.io/org/app', {}, 'ghcr.io org/app'],
    ['path, a key without a dot', 'lab/app', {}, 'lab app'],
    ['path, a key with a port as it is', 'myreg:5000/app', {}, 'myreg:5000 app'],
    ['path, a key with a port as host-port', 'myreg-5000/app', {}, 'myreg:5000 app'],
    ['default', 'org/app', {}, 'docker.io org/app'],
    ['default, no Host at all', 'org/app', { host: undefined }, 'docker.io org/app'],
    ['a key alone is a name of the default', 'lab', {}, 'docker.io library/lab'],
    ['Hub, official image', 'alpine', {}, 'docker.io library/alpine'],
    ['Hub by path', 'docker.io/alpine', {}, 'docker.io library/alpine'],
    ['Hub by path and with library', 'docker.io/library/alpine', {}, 'docker.io library/alpine'],
    ['Hub as index.docker.io', 'index.docker.io/alpine', {}, 'docker.io library/alpine'],
    ['Hub as registry-1.docker.io', 'alpine', { ns: ['registry-1.docker.io'] }, 'docker.io library/alpine'],
    ['no library elsewhere', 'ghcr.io/app', {}, 'ghcr.io app'],
    ['capitals, kept', 'ghcr.io/MFDoom/DeepSeek', {}, 'ghcr.io MFDoom/DeepSeek'],
    ['a dot in a name of one part', 'whisper.cpp', {}, 'docker.io library/whisper.cpp'],
    ['ns that is the Host itself', 'lab/app', { ns: ['LOCALHOST:5000'] }, 'lab app'],
    ['ns that is the Host itself, and the default', 'org/app', { ns: ['localhost:5000'] }, 'docker.io org/app'],
    ['ns that is weir by another name', 'ghcr.io/org/app', { ns: ['other-name:5000'] }, 'ghcr.io org/app'],
    ['the same in front of a port', 'myreg-5000/app', { ns: ['other.example'] }, 'myreg:5000 app'],
  ])('%s', (_, name, rest, expected) => {
    expect(short(name, rest)).toBe(expected);
  });

  it.each([
    ['an unknown ns', 'org/app', { ns: ['quay.io'] }],
    ['an unknown ns, though the path is known', 'ghcr.io/app', { ns: ['quay.io'] }],
    ['an empty ns', 'org/app', { ns: [''] }],
    ['a repeated ns', 'org/app', { ns: ['ghcr.io', 'ghcr.io'] }],
    ['ns with a trailing dot', 'org/app', { ns: ['ghcr.io.'] }],
    ['ns with the default port', 'org/app', { ns: ['ghcr.io:443'] }],
    ['ns with a scheme', 'org/app', { ns: ['https://ghcr.io'] }],
    ['ns with a look-alike letter', 'app', { ns: ['doc\u212Aer.io'] }],
    ['ns with user info', 'app', { ns: ['ghcr.io@evil.example'] }],
    ['ns as host-port', 'app', { ns: ['myreg-5000'] }],
    ['ns in IPv6', 'app', { ns: ['[::1]:5000'] }],
    ['a first segment with a dot', 'quay.io/org/app', {}],
    ['a first segment with a port', 'myreg:5001/app', {}],
    ['a host and nothing else', 'ghcr.io', {}],
    ['a name that is illegal behind its host', 'ghcr.io/-org', {}],
    ['a well-known name and nothing else, in capitals', 'QUAY.io', {}],
    ['localhost, which can only be a host', 'localhost/app', {}],
    ['ns with a name of nobody, though the path names an upstream by a word', 'lab/app', { ns: ['corp.example'] }],
    ['ns with a name of nobody and a plain path', 'org/app', { ns: ['corp.example:5000'] }],
    ['ns that is a word, though the path is known', 'ghcr.io/app', { ns: ['corp'] }],
    ['a port behind another Host', 'myreg:5000/app', { host: 'ghcr.mirror.lan' }],
  ])('%s is unknown', (_, name, rest) => {
    expect(route(name, rest)).toMatchObject({ kind: 'unknown', reason: expect.any(String) });
  });

  it('echoes the namespace that the client used, and none where it used none', () => {
    expect(route('org/app', { ns: ['ghcr.io'] })).toMatchObject({ echoNamespace: 'ghcr.io' });
    expect(route('ghcr.io/org/app')).not.toHaveProperty('echoNamespace');
  });

  it('without a default, what names no upstream is unknown', () => {
    const closed = createRouter(upstreams.map((upstream) => ({ ...upstream, isDefault: false })));
    expect(closed.route({ ns: [], host: undefined, name: 'org/app' }).kind).toBe('unknown');
    expect(closed.route({ ns: [], host: undefined, name: 'lab/app' }).kind).toBe('found');
  });

  it('an upstream of its own may carry a name of Docker Hub', () => {
    const own = createRouter([...upstreams, { key: 'index.docker.io', hosts: [], isDefault: false }]);
    expect(own.route({ ns: ['index.docker.io'], host: undefined, name: 'a/b' })).toMatchObject({
      upstream: 'index.docker.io',
    });
  });

  it('refuses two upstreams with one name, host or default', () => {
    const [hub, ghcr] = upstreams;
    const twice = { key: 'GHCR.io', hosts: [], isDefault: false };
    expect(() => createRouter([...upstreams, twice])).toThrow(RoutingError);
    expect(() => createRouter([...upstreams, { ...twice, key: 'x', hosts: ['ghcr.mirror.lan'] }])).toThrow(
      /both claim/,
    );
    expect(() => createRouter([...upstreams, { ...twice, key: 'x', isDefault: true }])).toThrow(/default/);
    expect(hub !== undefined && ghcr !== undefined && createRouter([hub, ghcr])).toBeTruthy();
  });

  it('whatever a client writes, it reaches a configured upstream with a legal name, or nothing', () => {
    const keys = upstreams.map(({ key }) => key);
    const part = fc.oneof(
      fc.constantFrom(...keys, 'index.docker.io', 'quay.io', 'a.b', 'library', 'x', 'myreg-5000', '127.0.0.1:80'),
      fc.string({ maxLength: 12 }),
    );
    const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const seen = { found: 0, unknown: 0 };
    fc.assert(
      fc.property(name, fc.array(part, { maxLength: 2 }), fc.option(part, { nil: undefined }), (text, ns, host) => {
        const routed = router.route({ name: text, ns, host });
        seen[routed.kind]++;
        if (routed.kind === 'unknown') return;
        expect(keys).toContain(routed.upstream);
        expect(routed.repository).toMatch(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/);
        expect(text.endsWith(routed.repository.replace(/^library\//, ''))).toBe(true);
      }),
      { numRuns: 3000 },
    );
    expect(seen.found).toBeGreaterThan(100);
    expect(seen.unknown).toBeGreaterThan(100);
  });

  describe('where the default is not Docker Hub', () => {
    const models = createRouter([
      { key: 'docker.io', hosts: [], isDefault: false },
      { key: 'models', hosts: [], isDefault: true },
    ]);
    const modelsRoute = (name: string): Routed => models.route({ ns: [], host: 'localhost:5000', name });

    it.each(['whisper.cpp', 'llama.cpp/server', 'com.example/app', 'x_y.z/w', '1.2.3/app'])(
      '%s is a repository there',
      (name) => expect(modelsRoute(name)).toMatchObject({ kind: 'found', upstream: 'models', repository: name }),
    );

    it('a 404 gets a hint where the name may have been meant for a registry, and only there', () => {
      expect(modelsRoute('com.example/app')).toMatchObject({ hint: expect.stringContaining('no configured upstream') });
      for (const name of ['whisper.cpp', 'org/app', 'docker.io/org/app']) {
        expect(modelsRoute(name)).not.toHaveProperty('hint');
      }
    });

    it.each([
      ...builtinUpstreams.filter((key) => key !== 'docker.io').flatMap((key) => [key, `${key}/org/app`]),
      'docker.io',
      'Quay.IO/org/app',
      'localhost/app',
      'com.example:443/app',
    ])('%s is never part of one of its repositories', (name) => {
      expect(modelsRoute(name)).toEqual({ kind: 'unknown', reason: expect.stringContaining('no configured upstream') });
    });

    it('an alias of Docker Hub is none either, with Docker Hub or without', () => {
      const alone = createRouter([{ key: 'models', hosts: [], isDefault: true }]);
      expect(alone.route({ ns: [], host: undefined, name: 'index.docker.io/org/app' }).kind).toBe('unknown');
      expect(modelsRoute('index.docker.io/app')).toMatchObject({ upstream: 'docker.io', repository: 'library/app' });
    });
  });

  it('Docker Hub under another key has library/, and no namespaces with a dot', () => {
    const hub = createRouter([{ key: 'hub', hosts: [], isDefault: true, isHub: true }]);
    const asked = (name: string): Routed => hub.route({ ns: [], host: undefined, name });
    expect(asked('alpine')).toMatchObject({ upstream: 'hub', repository: 'library/alpine' });
    expect(asked('hub/alpine')).toMatchObject({ upstream: 'hub', repository: 'library/alpine' });
    expect(asked('registry.corp/org/app').kind).toBe('unknown');
  });

  it('without ns and a mapped Host, a first segment like a host never reaches Docker Hub as the default', () => {
    const host = fc
      .tuple(fc.stringMatching(/^[a-z0-9]{1,8}$/), fc.constantFrom('.io', '.example', ':5000', '.x:1'))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(host, fc.stringMatching(/^[a-z0-9]{1,8}$/), (first, rest) => {
        const routed = route(`${first}/${rest}`);
        if (routed.kind === 'found') expect(routed.upstream).not.toBe('lab');
        if (!upstreams.some(({ key }) => key === first)) expect(routed.kind).toBe('unknown');
      }),
    );
  });
});
