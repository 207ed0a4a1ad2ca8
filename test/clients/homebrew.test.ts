/**
 * Homebrew with HOMEBREW_ARTIFACT_DOMAIN (brew main, Library/Homebrew: bottle.rb, download_strategy/curl_download_strategy.rb,
 * utils/curl.rb): a manifest and a bottle, each by a curl of its own; no challenge is ever answered.
 */
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { buildImage, buildIndex } from '../support/image-builder.ts';
import { type ClientOptions, ReplayClient } from './support/client.ts';
import { expectWhole } from './support/descriptor.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

/** utils/curl.rb `curl_args`. */
const brew: ClientOptions = {
  userAgent: 'Homebrew/5.0.0 (Linux; x86_64 Ubuntu 24.04) curl/8.5.0',
  keepAlive: false,
  acceptsGzip: false,
  headers: { 'Accept-Language': 'en' },
};
const image = buildImage({ seed: 'bottle', layers: [150_000] });
const index = buildIndex([image]);
const bottle = image.blobs[1];
if (bottle === undefined) throw new Error('no bottle');
const wanted = { ...bottle, size: bottle.bytes.length };
const upstreams = {
  'docker.io': () => undefined,
  'ghcr.io': holding('homebrew/core/jq', index, '1.7.1'),
};

async function install(client: ReplayClient, path: string, host?: string): Promise<void> {
  const named = host === undefined ? {} : { Host: host };
  // bottle.rb `github_packages_manifest_resource`; the file's name is known, so there is no HEAD.
  const manifest = await client.get(`${path}/homebrew/core/jq/manifests/1.7.1`, {
    ...named,
    Accept: mediaTypes.ociIndex,
  });
  expect([manifest.status, manifest.sha256]).toEqual([200, index.digest]);
  const blob = await client.get(`${path}/homebrew/core/jq/blobs/${wanted.digest}`, { ...named, Accept: '*/*' });
  expectWhole(blob, wanted);
}

const cold = { 'GET manifest': 1, 'GET blob': 1 } as const;

/** HOMEBREW_ARTIFACT_DOMAIN=http://weir:5000/v2/ghcr.io: a domain with `/v2` in it gets no second one (brew of 2026). */
replays('Homebrew, the registry in the domain', {
  upstreams,
  client: brew,
  pull: (client) => install(client, '/v2/ghcr.io'),
  cold,
});

/** HOMEBREW_ARTIFACT_DOMAIN=http://weir:5000, any version, where ghcr.io is the default upstream. */
replays('Homebrew, ghcr.io as the default upstream', {
  upstreams: { 'ghcr.io': upstreams['ghcr.io'] },
  configure: { 'ghcr.io': { default: true } },
  client: brew,
  pull: (client) => install(client, '/v2'),
  cold,
});

describe('Homebrew', () => {
  it('may come by a name of its own, which `hosts` maps to ghcr.io', async () => {
    await using weir = await startWeir({ upstreams, configure: { 'ghcr.io': { hosts: ['brew.weir.example'] } } });
    using client = new ReplayClient(weir.origin, brew);
    await install(client, '/v2', 'brew.weir.example:5000');
    expect(weir.upstream('docker.io').count()).toBe(0);
  });

  it('continues a bottle after HEAD, which says that ranges are possible', async () => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, brew);
    const target = `/v2/ghcr.io/homebrew/core/jq/blobs/${wanted.digest}`;
    // utils/curl.rb `curl_download` with try_partial: `curl --head`, then `--continue-at -`.
    const head = await client.head(target, { Accept: '*/*' });
    expect([head.status, head.headers['accept-ranges'], head.headers['content-length']]).toEqual([
      200,
      'bytes',
      '150000',
    ]);
    const rest = await client.get(target, { Accept: '*/*', Range: 'bytes=50000-' });
    expect([rest.status, rest.headers['content-range']]).toEqual([206, 'bytes 50000-149999/150000']);
    expect(rest.body.equals(wanted.bytes.subarray(50_000))).toBe(true);
  });

  it.each([
    // Versions before 4: the whole URL behind the domain. Later ones: releases of glibc-bootstrap and portable-ruby.
    '/https://github.com/Homebrew/glibc-bootstrap/releases/download/1.0.0/bootstrap.tar.gz',
    '/Homebrew/glibc-bootstrap/releases/download/1.0.0/bootstrap.tar.gz',
  ])('is told 404 for what is no registry: %s', async (target) => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, brew);
    const answer = await client.get(target, { Accept: '*/*' });
    expect([answer.status, answer.headers['content-type']]).toEqual([404, 'application/json']);
    expect(weir.upstreamRequests()).toEqual([]);
  });

  it('asks private taps with a token, which goes no further', async () => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, brew);
    // brew.sh: HOMEBREW_DOCKER_REGISTRY_TOKEN, or `Bearer QQ==` when the domain is ghcr.io itself.
    client.authorization = 'Bearer QQ==';
    await install(client, '/v2/ghcr.io');
    expect(weir.upstreamRequests().filter(({ headers }) => 'authorization' in headers)).toEqual([]);
  });
});
