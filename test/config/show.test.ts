import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/read/problem.ts';
import { showPlain, showYaml } from '../../src/config/show.ts';
import type { Env } from '../../src/config/read/variables.ts';

const dir = mkdtempSync(join(tmpdir(), 'weir-show-'));
afterAll(() => rmSync(dir, { recursive: true }));

function load(yaml: string | undefined, env: Env = {}, name = 'weir.yaml') {
  if (yaml !== undefined) writeFileSync(join(dir, name), yaml);
  const loaded = loadConfig({ path: yaml === undefined ? undefined : name, env, cwd: dir });
  if (loaded.kind === 'problems') throw new Error(loaded.problems.map(formatProblem).join('\n'));
  return loaded;
}

const yaml = `
listen: 0.0.0.0:5000
builtinUpstreams: false
prefetch: { platforms: [linux/amd64] }
upstreams:
  docker.io:
  "lab:5000":
    url: http://lab:5000/
    tags: { ttl: 0s }
    immutableTags: ["v*"]
`;

describe('config show', () => {
  it('says every value in effect, and where it comes from', () => {
    expect(showYaml(load(yaml, { WEIR_TAGS_TTL: '5m' }))).toBe(`listen: 0.0.0.0:5000 # weir.yaml:2
trustedProxies: [] # default
admin:
  listen: 127.0.0.1:5001 # default
  hosts: [] # default
cache:
  root: ./data # default
  maxSize: 50GiB # default
  minFree: 5% # default
serve:
  keepAlive: 620s # default
  threads: 0 # default
fill:
  onAbandon: finish # default
  connections: 8 # default
  partialTtl: 24h # default
prefetch:
  enabled: true # default
  maxBytes: 2GiB # default
  platforms: [ linux/amd64 ] # weir.yaml:4
tags:
  ttl: 5m # WEIR_TAGS_TTL
  staleIfError: 30d # default
offline: false # default
log:
  level: info # default
  access: true # default
credentials:
  dockerConfig: off # default
builtinUpstreams: false # weir.yaml:3
upstreams:
  docker.io:
    url: https://registry-1.docker.io # default
    default: true # default
  lab:5000:
    url: http://lab:5000 # weir.yaml:8
    tags:
      ttl: 0s # weir.yaml:9
    immutableTags: [ v* ] # weir.yaml:10
`);
  });

  it.each([
    ['nothing', undefined, {}],
    ['a file', yaml, {}],
    ['a file and variables', yaml, { WEIR_LISTEN: '[::1]:0', WEIR_OFFLINE: '1', WEIR_CACHE_MAX_SIZE: '16777216' }],
    ['a default upstream', undefined, { WEIR_DEFAULT_UPSTREAM: 'http://lab:5000' }],
    ['no default upstream', 'upstreams: { docker.io: { default: false } }', {}],
  ])('what is shown of %s is a file with the same effect', (_, text, env) => {
    const loaded = load(text, env);
    const again = load(showYaml(loaded), {}, 'shown.yaml');
    const effect = ({ config }: typeof loaded) => ({
      ...config,
      upstreams: config.upstreams.map(({ isBuiltin: _ignored, ...rest }) => rest),
    });
    expect(effect(again)).toEqual(effect(loaded));
    const fromJson = load(JSON.stringify(showPlain(loaded)), {}, 'shown.json');
    expect(effect(fromJson)).toEqual(effect(loaded));
  });
});
