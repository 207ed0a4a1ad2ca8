import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Config, UpstreamConfig } from '../../src/config/values/config.ts';
import { configVariables, loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/read/problem.ts';
import type { Env } from '../../src/config/read/variables.ts';

const dir = mkdtempSync(join(tmpdir(), 'weir-config-'));
afterAll(() => rmSync(dir, { recursive: true }));

let files = 0;
function file(content: string, name = `file-${(files += 1)}`): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

function load(yaml: string | undefined, env: Env = {}) {
  const path = yaml === undefined ? undefined : file(yaml);
  return { ...loadConfig({ path, env, cwd: dir }), path };
}

function config(yaml?: string, env: Env = {}): Config {
  const loaded = load(yaml, env);
  if (loaded.kind === 'problems') throw new Error(loaded.problems.map(formatProblem).join('\n'));
  return loaded.config;
}

/** The problems as lines, the file's name left out. */
function problems(yaml: string | undefined, env: Env = {}): string[] {
  const loaded = load(yaml, env);
  if (loaded.kind === 'config') throw new Error('no problem was found');
  return loaded.problems.map((problem) => formatProblem(problem).replace(`${loaded.path}:`, ''));
}

function upstream(from: Config, key: string): UpstreamConfig {
  const found = from.upstreams.find((one) => one.key === key);
  if (found === undefined) throw new Error(`no upstream ${key}`);
  return found;
}

describe('zero configuration', () => {
  it('is a useful cache on loopback', () => {
    expect(config()).toMatchObject({
      listen: { host: '127.0.0.1', port: 5000 },
      tls: undefined,
      admin: { listen: { host: '127.0.0.1', port: 5001 }, tokenFile: undefined, hosts: [] },
      cache: { root: join(dir, 'data'), maxSizeBytes: 50 * 1024 ** 3, minFree: { kind: 'percent', percent: 5 } },
      serve: { threads: 0, keepAliveMs: 620_000 },
      fill: { onAbandon: 'finish', connections: 8, partialTtlMs: 86_400_000 },
      prefetch: { enabled: true, maxBytes: 2 * 1024 ** 3, platforms: [] },
      offline: false,
      log: { level: 'info', access: true },
      credentials: { inline: undefined, files: [] },
      proxy: { http: undefined, https: undefined, noProxy: [] },
    });
  });

  it('knows the public registries, Docker Hub being the default', () => {
    const { upstreams } = config();
    expect(upstreams.map(({ key, endpoints }) => `${key} ${endpoints.join()}`)).toEqual([
      'docker.io https://registry-1.docker.io',
      'ghcr.io https://ghcr.io',
      'quay.io https://quay.io',
      'registry.k8s.io https://registry.k8s.io',
      'gcr.io https://gcr.io',
      'mcr.microsoft.com https://mcr.microsoft.com',
      'public.ecr.aws https://public.ecr.aws',
      'registry.gitlab.com https://registry.gitlab.com',
      'nvcr.io https://nvcr.io',
      'lscr.io https://lscr.io',
    ]);
    expect(upstreams.filter(({ isDefault }) => isDefault).map(({ key }) => key)).toEqual(['docker.io']);
    expect(
      upstreams.every(({ isBuiltin, auth, access }) => isBuiltin && auth === undefined && access === 'public'),
    ).toBe(true);
  });

  it('does not look at credentials of other tools, nor at a file that nobody named', () => {
    file('listen: 127.0.0.1:1', 'weir.yaml');
    const found = config(undefined, { HOME: dir, DOCKER_CONFIG: dir, DOCKER_AUTH_CONFIG: '{}' });
    expect(found.credentials).toEqual({ inline: undefined, files: [] });
    expect(found.listen.port).toBe(5000);
  });

  it('an empty file, or one of comments, says nothing', () => {
    expect(config('')).toEqual(config());
    expect(config('# nothing\n')).toEqual(config());
    expect(config('admin:\n  # listen: x\nupstreams:\n')).toEqual(config());
  });

  it('is frozen all the way down', () => {
    const found = config(undefined, { HTTPS_PROXY: 'http://proxy:1' });
    const seen: unknown[] = [];
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      seen.push(value);
      expect(Object.isFrozen(value)).toBe(true);
      Object.values(value).forEach(walk);
    };
    walk(found);
    expect(seen.length).toBeGreaterThan(50);
  });
});

describe('the file', () => {
  it('names proxies by address or network', () => {
    expect(config().trustedProxies).toEqual([]);
    expect(config("trustedProxies: [10.0.0.0/8, '::1']").trustedProxies).toEqual([
      { address: '10.0.0.0', prefix: 8 },
      { address: '::1', prefix: 128 },
    ]);
    expect(problems('trustedProxies: [proxy.example]').join()).toContain('write an address or a network');
  });

  it('sets everything that the documentation shows', () => {
    const secret = file('hunter2');
    const found = config(
      `
listen: 0.0.0.0:80
trustedProxies: [10.1.2.0/24]
tls: { cert: ${secret}, key: ${secret} }
admin: { listen: "[::1]:81", tokenFile: ${secret}, hosts: [Weir.Lan] }
cache: { root: /var/lib/weir, maxSize: 1.5TiB, minFree: 10GB }
serve: { threads: 1, keepAlive: 30s }
fill: { onAbandon: keep, connections: 1, partialTtl: 0s }
prefetch: { enabled: false, maxBytes: 0, platforms: [linux/amd64, linux/arm/v7] }
tags: { ttl: 0s, staleIfError: 250ms }
offline: true
log: { level: debug, access: false }
builtinUpstreams: false
upstreams:
  lab:5000:
    url: http://127.0.0.1:6000/base/
    endpoints: [http://127.0.0.1:6001]
    default: true
    hosts: [Cache.Lab, cache.lab:8080]
    access: all
    auth: { username: me, passwordFile: ${secret} }
    tags: { ttl: 5m }
    immutableTags: ["v*", "*-stable"]
    realms: [Auth.Lab, "http://auth.lab:5001"]
    allowHosts: [10.0.0.5]
    tls: { ca: ${secret}, cert: ${secret}, key: ${secret}, insecureSkipVerify: true }
    proxy: direct
    connections: 3
    headTimeout: 5m
    bandwidth: 10MB/s
`,
    );
    expect(found).toEqual({
      listen: { host: '0.0.0.0', port: 80 },
      trustedProxies: [{ address: '10.1.2.0', prefix: 24 }],
      tls: { certFile: secret, keyFile: secret },
      admin: { listen: { host: '::1', port: 81 }, tokenFile: secret, hosts: ['weir.lan'] },
      cache: { root: '/var/lib/weir', maxSizeBytes: 1.5 * 1024 ** 4, minFree: { kind: 'bytes', bytes: 1e10 } },
      serve: { threads: 1, keepAliveMs: 30_000 },
      fill: { onAbandon: 'keep', connections: 1, partialTtlMs: 0 },
      prefetch: { enabled: false, maxBytes: 0, platforms: ['linux/amd64', 'linux/arm/v7'] },
      offline: true,
      log: { level: 'debug', access: false },
      credentials: { inline: undefined, files: [] },
      proxy: { http: undefined, https: undefined, noProxy: [] },
      upstreams: [
        {
          key: 'lab:5000',
          endpoints: ['http://127.0.0.1:6000/base', 'http://127.0.0.1:6001'],
          isDefault: true,
          isBuiltin: false,
          isHub: false,
          prefix: undefined,
          hosts: ['cache.lab', 'cache.lab:8080'],
          access: 'all',
          auth: { kind: 'basic', username: 'me', password: { kind: 'file', path: secret } },
          tagTtlMs: 300_000,
          staleIfErrorMs: 250,
          immutableTags: ['v*', '*-stable'],
          realms: ['auth.lab', 'http://auth.lab:5001'],
          allowHosts: ['10.0.0.5'],
          tls: { caFile: secret, certFile: secret, keyFile: secret, insecureSkipVerify: true },
          proxy: { kind: 'direct' },
          connections: 3,
          headTimeoutMs: 300_000,
          bandwidth: 10_000_000,
        },
      ],
    });
  });

  it('is named by the command line, else by WEIR_CONFIG', () => {
    const one = file('listen: 127.0.0.1:1');
    const two = file('listen: 127.0.0.1:2');
    const port = (path: string | undefined, env: Env): number | undefined => {
      const loaded = loadConfig({ path, env, cwd: dir });
      return loaded.kind === 'config' ? loaded.config.listen.port : undefined;
    };
    expect(port(one, { WEIR_CONFIG: two })).toBe(1);
    expect(port(undefined, { WEIR_CONFIG: two })).toBe(2);
    expect(port(undefined, { WEIR_CONFIG: '' })).toBe(5000);
  });

  it('an entry replaces the built-in upstream of its name, and stays what it is', () => {
    const found = config(
      'upstreams: { docker.io: { tags: { ttl: 1h } }, quay.io: , ghcr.io: { url: "https://mirror.lab/gh" } }',
    );
    expect(upstream(found, 'docker.io')).toMatchObject({
      endpoints: ['https://registry-1.docker.io'],
      isDefault: true,
      isBuiltin: false,
      tagTtlMs: 3_600_000,
      staleIfErrorMs: 2_592_000_000,
    });
    expect(upstream(found, 'quay.io').endpoints).toEqual(['https://quay.io']);
    expect(upstream(found, 'ghcr.io').endpoints).toEqual(['https://mirror.lab/gh']);
    expect(found.upstreams).toHaveLength(10);
  });

  it('chooses the default upstream, or none', () => {
    const defaults = (yaml: string): string[] =>
      config(yaml)
        .upstreams.filter(({ isDefault }) => isDefault)
        .map(({ key }) => key);
    expect(defaults('upstreams: { lab: { url: "http://lab", default: true } }')).toEqual(['lab']);
    expect(defaults('upstreams: { lab: { url: "http://lab" } }')).toEqual(['docker.io']);
    expect(defaults('upstreams: { docker.io: { default: false } }')).toEqual([]);
    expect(defaults('builtinUpstreams: false')).toEqual([]);
    expect(defaults('builtinUpstreams: false\nupstreams: { lab: { url: "http://lab" } }')).toEqual([]);
  });

  it('names where other tools keep credentials: nowhere, one file, or the usual places', () => {
    file('{}', 'config.json');
    const sources = (dockerConfig: string) =>
      config(`credentials: { dockerConfig: ${dockerConfig} }`, {
        HOME: '/home/me',
        DOCKER_CONFIG: 'docker',
        DOCKER_AUTH_CONFIG: '{}',
      }).credentials;
    expect(sources('off')).toEqual({ inline: undefined, files: [] });
    expect(sources('config.json')).toEqual({ inline: undefined, files: [join(dir, 'config.json')] });
    expect(sources('auto').inline?.reveal()).toBe('{}');
    expect(sources('auto').files).toContain(join(dir, 'docker', 'config.json'));
  });

  it('a URL that is listed twice is tried once', () => {
    const found = config('upstreams: { lab: { endpoints: ["https://lab/", "https://b", "https://b"] } }');
    expect(upstream(found, 'lab').endpoints).toEqual(['https://lab', 'https://b']);
  });

  it('listeners on one port are fine where they do not meet', () => {
    expect(config('listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }').listen.port).toBe(0);
    expect(config('listen: 127.0.0.1:80\nadmin: { listen: 127.0.0.2:80 }').admin.listen.host).toBe('127.0.0.2');
  });

  it('relative paths and ~ lead from the working directory and the home', () => {
    file('x', 'token');
    const found = config('admin: { tokenFile: token }\ncache: { root: ~/cache }', { HOME: '/home/me' });
    expect(found.admin.tokenFile).toBe(join(dir, 'token'));
    expect(found.cache.root).toBe('/home/me/cache');
  });
});

describe('variables', () => {
  it('exist for every scalar key outside a map, named after it', () => {
    expect(configVariables.map(({ name }) => name)).toEqual([
      'WEIR_LISTEN',
      'WEIR_TLS_CERT',
      'WEIR_TLS_KEY',
      'WEIR_ADMIN_LISTEN',
      'WEIR_ADMIN_TOKEN_FILE',
      'WEIR_CACHE_ROOT',
      'WEIR_CACHE_MAX_SIZE',
      'WEIR_CACHE_MIN_FREE',
      'WEIR_SERVE_KEEP_ALIVE',
      'WEIR_SERVE_THREADS',
      'WEIR_FILL_ON_ABANDON',
      'WEIR_FILL_CONNECTIONS',
      'WEIR_FILL_PARTIAL_TTL',
      'WEIR_PREFETCH_ENABLED',
      'WEIR_PREFETCH_MAX_BYTES',
      'WEIR_TAGS_TTL',
      'WEIR_TAGS_STALE_IF_ERROR',
      'WEIR_OFFLINE',
      'WEIR_LOG_LEVEL',
      'WEIR_LOG_ACCESS',
      'WEIR_CREDENTIALS_DOCKER_CONFIG',
      'WEIR_BUILTIN_UPSTREAMS',
    ]);
  });

  it('win over the file, and an empty one is not set', () => {
    const env = {
      WEIR_LISTEN: '0.0.0.0:5000',
      WEIR_CACHE_MAX_SIZE: '1073741824',
      WEIR_SERVE_THREADS: '2',
      WEIR_OFFLINE: 'true',
      WEIR_LOG_ACCESS: '0',
      WEIR_TAGS_TTL: '',
    };
    const found = config(
      'listen: 127.0.0.1:1\ncache: { maxSize: 16MiB }\ntags: { ttl: 7s }\nserve: { threads: 9 }',
      env,
    );
    expect(found).toMatchObject({
      listen: { host: '0.0.0.0', port: 5000 },
      cache: { maxSizeBytes: 1024 ** 3 },
      serve: { threads: 2 },
      offline: true,
      log: { access: false },
    });
    expect(upstream(found, 'quay.io').tagTtlMs).toBe(7000);
  });

  it('nobody knows are errors that name them, with what was probably meant', () => {
    expect(
      problems(undefined, { WEIR_LISTN: 'x', WEIR_MAX_SIZE: 'x', WEIR_UPSTREAMS_LAB_URL: 'x', WEIR_: '' }),
    ).toEqual([
      'WEIR_LISTN: unknown variable; did you mean WEIR_LISTEN?',
      'WEIR_MAX_SIZE: unknown variable; did you mean WEIR_CACHE_MAX_SIZE?',
      'WEIR_UPSTREAMS_LAB_URL: unknown variable; a key of an upstream can be set in a file only, and docs/configuration.md lists the others',
      'WEIR_: unknown variable; a key of an upstream can be set in a file only, and docs/configuration.md lists the others',
    ]);
  });

  it('that Kubernetes injects for a Service named weir are none of ours', () => {
    const injected = {
      WEIR_SERVICE_HOST: '10.0.0.1',
      WEIR_SERVICE_PORT_HTTP: '80',
      WEIR_PORT: 'tcp://x',
      WEIR_PORT_80_TCP_ADDR: 'x',
    };
    expect(config(undefined, injected)).toEqual(config());
    expect(problems(undefined, { WEIR_ADMIN_SERVICE_HOST: '10.0.0.1' })).toEqual([
      expect.stringContaining('enableServiceLinks: false'),
    ]);
  });

  it('that are wrong name themselves, their key, what they hold and what is allowed', () => {
    const env = {
      WEIR_CACHE_MAX_SIZE: '10G',
      WEIR_OFFLINE: 'yes',
      WEIR_SERVE_THREADS: '1.5',
      WEIR_ADMIN_TOKEN_FILE: '/x',
    };
    expect(problems(undefined, env)).toEqual([
      'WEIR_CACHE_MAX_SIZE: cache.maxSize: found "10G": write 10GB (powers of 1000) or 10GiB (powers of 1024)',
      'WEIR_SERVE_THREADS: serve.threads: found "1.5": write a whole number from 0 to 64',
      'WEIR_OFFLINE: offline: found "yes": write true or false',
      'WEIR_ADMIN_TOKEN_FILE: admin.tokenFile: found "/x": there is no such file',
    ]);
    expect(problems(undefined, { WEIR_TLS_CERT: '/x' })).toEqual(['tls.key: missing; tls needs it']);
  });
});

describe('where repositories lie', () => {
  const urlProblems = (url: string): string[] => problems(`upstreams: { harbor: { url: "${url}" } }`);

  it('a prefix is the first parts of a repository, and nothing else', () => {
    expect(upstream(config('upstreams: { docker.io: { prefix: team/dockerhub } }'), 'docker.io').prefix).toBe(
      'team/dockerhub',
    );
    for (const prefix of ['/dockerhub', 'dockerhub/', 'a//b', '../x', 'a:1']) {
      expect(problems(`upstreams: { docker.io: { prefix: "${prefix}" } }`).join()).toContain('like dockerhub');
    }
  });

  it('a url that holds /v2 is refused, with what to write instead', () => {
    expect(urlProblems('https://harbor.example/v2/').join()).toContain('write https://harbor.example: weir adds /v2/');
    expect(urlProblems('https://a.example/api/docker/x/v2').join()).toContain('write https://a.example/api/docker/x:');
    const below = urlProblems('https://harbor.example/v2/team/dockerhub/').join();
    expect(below).toMatch(/write https:\/\/harbor.example:.*the prefix: team\/dockerhub/);
    expect(problems('upstreams: { lab: { endpoints: ["http://x/v2"] } }').join()).toContain('write http://x:');
    expect(problems(undefined, { WEIR_DEFAULT_UPSTREAM: 'https://x.example/v2' }).join()).toContain(
      'https://x.example:',
    );
    expect(upstream(config('upstreams: { lab: { url: "http://x/v2.5/v2x" } }'), 'lab').endpoints).toEqual([
      'http://x/v2.5/v2x',
    ]);
  });

  it('Docker Hub is what its key or its address says', () => {
    const found = config(`upstreams:
  docker.io: { url: "https://harbor.example", prefix: dockerhub }
  hub: { url: "https://registry-1.docker.io" }
  lab: { url: "https://lab.example", endpoints: ["https://registry-1.docker.io"] }`);
    expect(['docker.io', 'hub', 'lab', 'quay.io'].map((key) => upstream(found, key).isHub)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('WEIR_DEFAULT_UPSTREAM', () => {
  const withDefault = (address: string, yaml?: string): Config => config(yaml, { WEIR_DEFAULT_UPSTREAM: address });
  const defaultOf = (from: Config): UpstreamConfig | undefined => from.upstreams.find(({ isDefault }) => isDefault);

  it('adds the upstream named by its host', () => {
    expect(defaultOf(withDefault('https://mirror.example'))).toMatchObject({
      key: 'mirror.example',
      endpoints: ['https://mirror.example'],
    });
    expect(defaultOf(withDefault('http://localhost:6000/'))).toMatchObject({
      key: 'localhost:6000',
      endpoints: ['http://localhost:6000'],
    });
    expect(withDefault('https://mirror.example').upstreams).toHaveLength(11);
  });

  it('reuses one that is there, with everything that it says', () => {
    const found = withDefault(
      'http://lab:5000',
      'upstreams: { "lab:5000": { access: all }, other: { default: true } }',
    );
    expect(defaultOf(found)).toMatchObject({ key: 'lab:5000', endpoints: ['http://lab:5000'], access: 'all' });
    expect(found.upstreams.filter(({ isDefault }) => isDefault)).toHaveLength(1);
    expect(defaultOf(withDefault('https://quay.io'))?.key).toBe('quay.io');
  });

  it.each(['https://docker.io', 'https://registry-1.docker.io', 'https://index.docker.io'])(
    '%s is Docker Hub',
    (address) => {
      const found = withDefault(address, 'upstreams: { lab: { url: "http://lab", default: true } }');
      expect(defaultOf(found)).toMatchObject({ key: 'docker.io', endpoints: ['https://registry-1.docker.io'] });
      expect(found.upstreams).toHaveLength(11);
    },
  );

  it('is refused when it is no URL, or contradicts the file', () => {
    expect(problems(undefined, { WEIR_DEFAULT_UPSTREAM: 'mirror.example' })).toEqual([
      'WEIR_DEFAULT_UPSTREAM: found "mirror.example": write a URL that starts with https:// or http://',
    ]);
    expect(problems(undefined, { WEIR_DEFAULT_UPSTREAM: 'https://me:hunter2@a.example' }).join()).toContain(
      'found "https://***@a.example"',
    );
    expect(problems('upstreams: { lab: { url: "http://x" } }', { WEIR_DEFAULT_UPSTREAM: 'http://lab' })).toEqual([
      'WEIR_DEFAULT_UPSTREAM: found "http://lab": upstreams.lab has another url, http://x',
    ]);
  });
});

describe('problems', () => {
  it('are reported all in one go, with line, key, value and what is allowed', () => {
    const found = problems(
      `listn: 127.0.0.1:5000
cache:
  max_size: 10GB
  root: 5
  minFree: 200%
maxSize: 5
tls: { cert: /nope }
serve: [1]
offline: "true"
docker.io: {}
log: { level: verbose }
upstreams:
  Docker.IO: {}
  constructor: {}
  __proto__: {}
  registry-1.docker.io: {}
  a.lab: { hosts: [ghcr.io, x.lab], default: true }
  b.lab: { hosts: [x.lab], default: true, connections: 0 }
  lab:
    immutableTags: ["v*", "a b", 5]
    hosts: a
    tags: 1m
`,
      { WEIR_TAGS_TTL: '5', HTTP_PROXY: 'ftp://me:hunter2@proxy' },
    );
    expect(found).toEqual([
      '1: listn: unknown key; did you mean listen?',
      '3: cache.max_size: unknown key; did you mean cache.maxSize?',
      '4: cache.root: found 5: write the path of a file',
      '5: cache.minFree: found "200%": write a share below 100%, like 5%',
      '6: maxSize: unknown key here; did you mean cache.maxSize?',
      '7: tls.key: missing; tls needs it',
      '8: serve: found a list: write a group of keys here',
      '9: offline: found "true": write true or false',
      '10: docker.io: unknown key; an upstream belongs below upstreams',
      '11: log.level: found "verbose": write one of debug, info, warn, error',
      '13: upstreams.Docker.IO: write it in lower case: docker.io',
      expect.stringMatching(/^14: upstreams.constructor: name an upstream by its host/),
      expect.stringMatching(/^15: upstreams.__proto__: name an upstream by its host/),
      '16: upstreams.registry-1.docker.io: this is another name of docker.io; configure upstreams.docker.io instead',
      '17: upstreams.a.lab.hosts: found "ghcr.io": upstreams.ghcr.io has that host already',
      '18: upstreams.b.lab.connections: found 0: write a whole number from 1 to 1024',
      '20: upstreams.lab.immutableTags.1: found "a b": write a pattern of tag characters, * and ?, like v*',
      '20: upstreams.lab.immutableTags.2: found 5: write a pattern of tag characters, * and ?, like v*',
      '21: upstreams.lab.hosts: found "a": write a list, like [a, b]',
      '22: upstreams.lab.tags: found "1m": write a group of keys here',
      'HTTP_PROXY: found "ftp://***@proxy": write the URL of an http or https proxy, like http://proxy.example:3128',
      expect.stringMatching(/^WEIR_TAGS_TTL: tags.ttl: found "5": write a duration/),
    ]);
  });

  it.each([
    [
      'two defaults',
      'upstreams: { a: { default: true }, b: { default: true } }',
      'upstreams.b.default: found true: upstreams.a is the default',
    ],
    [
      'two upstreams with one host',
      'upstreams: { a: { hosts: [x] }, b: { hosts: [x] } }',
      'upstreams.b.hosts: found "x": upstreams.a has',
    ],
    [
      'a key that is the alias of another',
      'upstreams: { "a:5000": {}, a-5000: {} }',
      'upstreams.a-5000: this is also how upstreams.a:5000',
    ],
    [
      'one port for both listeners, the other way round',
      'listen: 127.0.0.1:80\nadmin: { listen: ":80" }',
      'admin.listen: found "[::]:80": listen has that port already',
    ],
    [
      'one port for both listeners',
      'listen: 0.0.0.0:5001',
      'admin.listen: found "127.0.0.1:5001": listen has that port already',
    ],
    ['a certificate without key', 'tls: { cert: /dev/null }', 'tls.key: missing; tls needs it'],
    [
      'a client key without certificate',
      'upstreams: { a: { tls: { key: /dev/null } } }',
      'upstreams.a.tls.cert: missing; tls.key needs it',
    ],
    [
      'a query in a URL',
      'upstreams: { a: { url: "https://a?b" } }',
      'upstreams.a.url: found "https://a?b": a URL must not have a query',
    ],
    ['a port out of range', 'listen: 127.0.0.1:65536', 'listen: found "127.0.0.1:65536": write host:port'],
    ['a size too small', 'cache: { maxSize: 1 }', 'cache.maxSize: found 1: write at least 16MiB'],
    ['a size in which nothing fits', 'cache: { maxSize: 15MiB }', 'cache.maxSize: found "15MiB": write at least 16MiB'],
    [
      'all of the disk kept free',
      'cache: { minFree: 100% }',
      'cache.minFree: found "100%": write a share below 100%, like 5%',
    ],
    [
      'an answer that may take a month to begin',
      'upstreams: { a: { headTimeout: 30d } }',
      'upstreams.a.headTimeout: found "30d": write at most 1h',
    ],
    ['a connection kept for ever', 'serve: { keepAlive: 36500d }', 'serve.keepAlive: found "36500d": write at most 1d'],
    [
      'a share without its sign',
      'cache: { minFree: 5 }',
      'cache.minFree: found 5: write a share like 5%, 0, or at least 1MiB',
    ],
    [
      'a directory for a file',
      'admin: { tokenFile: / }',
      'admin.tokenFile: found "/": this is a directory, not a file',
    ],
    [
      'a missing file',
      'credentials: { dockerConfig: /nope }',
      'credentials.dockerConfig: found "/nope": there is no such file',
    ],
    [
      'text for a list',
      'prefetch: { platforms: linux/amd64 }',
      'prefetch.platforms: found "linux/amd64": write a list',
    ],
    ['no platform', 'prefetch: { platforms: [amd64] }', 'prefetch.platforms.0: found "amd64": write a platform'],
    ['a list as the whole', '- a', 'found a list: write a group of keys here'],
    ['text as the whole', 'hello', 'found "hello": write a group of keys here'],
    [
      'a proxy with a password',
      'upstreams: { a: { proxy: "http://u:p@x" } }',
      'found "http://***@x": a proxy that needs a password is set by HTTPS_PROXY',
    ],
    ['nothing where something belongs', 'listen:', 'listen: found nothing: write host:port'],
  ])('%s', (_, yaml, expected) => {
    expect(problems(yaml)).toEqual([expect.stringContaining(expected)]);
  });

  it.each([
    ['a duplicate key', 'listen: a\nlisten: b', '2: the same key is written twice'],
    ['tabs', 'cache:\n\troot: a', '2: a tab is used for indentation; use spaces'],
    ['a directive', '%FOO bar\n---\noffline: true', '1: a directive (%…) that is not known here'],
    ['an open bracket', 'cache: {\n', /^\d: ./],
    ['two documents', 'offline: true\n---\noffline: false', '2: there is more than one document (---) in the file'],
    ['a tag', 'listen: !!js/function x', /^1: a tag \(!…\) that is not known here/],
    ['an alias without anchor', 'listen: *nobody', /^an alias \(\*…\) without its anchor/],
    ['an endless nesting', '['.repeat(20_000), 'nested too deeply'],
    ['a huge file', '#'.repeat(200_000), 'the file is larger than 128 KiB'],
  ])('of YAML: %s', (_, yaml, expected) => {
    const [first] = problems(yaml);
    if (typeof expected === 'string') expect(first?.trim()).toBe(expected);
    else expect(first?.trim()).toMatch(expected);
  });

  it('an anchor bomb is defused, and an honest anchor works', () => {
    const levels = 'bcdefghij'
      .split('')
      .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(', ')}]`);
    expect(problems(`a: &a [x, x]\n${levels.join('\n')}`)).toEqual([
      expect.stringContaining('anchors and aliases that multiply'),
    ]);
    const found = config('upstreams: { a: { tags: &t { ttl: 9s } }, b: { tags: *t } }');
    expect([upstream(found, 'a').tagTtlMs, upstream(found, 'b').tagTtlMs]).toEqual([9000, 9000]);
  });

  it('one mistake is one problem, without what follows from it', () => {
    expect(problems('listen: "5001"\nadmin: { listen: 127.0.0.1:5000 }')).toEqual([
      expect.stringMatching(/^1: listen: found "5001"/),
    ]);
    expect(problems('tls: { cert: 5, key: /dev/null }')).toEqual([expect.stringMatching(/^1: tls.cert: found 5/)]);
    expect(problems('upstreams: { a: { auth: { username: me, passwordFile: 5 } } }')).toEqual([
      expect.stringMatching(/^1: upstreams.a.auth.passwordFile: found 5/),
    ]);
  });

  it('every file that is named has to be there', () => {
    const keys = [
      'tls: { cert: /nope, key: /nope }',
      'admin: { tokenFile: /nope }',
      'credentials: { dockerConfig: /nope }',
      'upstreams: { a: { auth: { username: a, passwordFile: /nope } } }',
      'upstreams: { a: { auth: { identityTokenFile: /nope } } }',
      'upstreams: { a: { tls: { ca: /nope, cert: /nope, key: /nope } } }',
    ];
    const missing = keys
      .flatMap((yaml) => problems(yaml))
      .filter((line) => line.includes('found "/nope": there is no such file'));
    expect(missing).toHaveLength(9);
  });

  it('a file that cannot be read is a problem of who named it', () => {
    expect(loadConfig({ path: 'nope.yaml', env: {}, cwd: dir })).toMatchObject({
      problems: [{ origin: { kind: 'file', file: 'nope.yaml' }, problem: 'there is no such file' }],
    });
    expect(problems(undefined, { WEIR_CONFIG: '/nope' })).toEqual([
      'WEIR_CONFIG: found "/nope": there is no such file',
    ]);
    expect(problems(undefined, { WEIR_CONFIG: dir })).toEqual([
      expect.stringContaining('this is a directory, not a file'),
    ]);
    const binary = file('');
    writeFileSync(binary, Buffer.from([0xff, 0xfe, 0x00]));
    expect(problems(undefined, { WEIR_CONFIG: binary })).toEqual([
      expect.stringContaining('the file is not UTF-8 text'),
    ]);
  });

  it('what a file holds cannot forge a line or move a cursor', () => {
    const [line = ''] = problems('cache: { "a\\nb\\e[31m\\u202e": 1 }\n');
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(line).toContain('\\u{a}b\\u{1b}[31m\\u{202e}');
  });

  it('no file and no variables, however odd, do anything but load or fail with problems', () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.double());
    const key = fc.oneof(
      fc.constantFrom(
        'listen',
        'tls',
        'cache',
        'root',
        'upstreams',
        'docker.io',
        'lab',
        'auth',
        'url',
        'hosts',
        'tags',
        'ttl',
        '__proto__',
      ),
      fc.string(),
    );
    const tree = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        scalar,
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(key, tie('node'), { maxKeys: 5 }),
      ),
    })).node;
    let loads = 0;
    const path = file('');
    fc.assert(
      fc.property(
        fc.oneof(
          tree.map((value) => JSON.stringify(value)),
          fc.string(),
        ),
        fc.dictionary(key, fc.string()),
        (text, variables) => {
          writeFileSync(path, text);
          const env = Object.fromEntries(
            Object.entries(variables).map(([name, value]) => [`WEIR_${name.toUpperCase()}`, value]),
          );
          const loaded = loadConfig({ path, env, cwd: dir });
          loads += 1;
          if (loaded.kind === 'problems')
            expect(loaded.problems.map(formatProblem).filter((line) => /[\n\r]/.test(line))).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
    expect(loads).toBeGreaterThanOrEqual(300);
  });
});
