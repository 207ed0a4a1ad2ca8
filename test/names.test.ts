/** Names as registries beside Docker Hub have them: with capitals, and with dots in front. */
import { describe, expect, it } from 'vitest';
import { rawFetch } from './support/raw-client.ts';
import { buildImage } from './support/image-builder.ts';
import { holding, startWeir } from './clients/support/weir.ts';

const image = buildImage({ layers: [1_000] });
const asDefault = { 'models.test': { default: true, hosts: ['models.weir.example'] } };

describe('a name with capitals', () => {
  const repository = 'bartowski/Llama-3.2-1B-Instruct-GGUF';

  it.each([
    ['the default upstream', `/v2/${repository}`, '', undefined],
    ['a host', `/v2/${repository}`, '', 'models.weir.example'],
    ['the path', `/v2/models.test/${repository}`, '', undefined],
    ['ns', `/v2/${repository}`, '?ns=Models.Test', undefined],
  ])('passes as it is by %s', async (_, base, query, host) => {
    await using weir = await startWeir({
      upstreams: { 'models.test': holding(repository, image, 'Q4_K_M') },
      configure: asDefault,
    });
    const headers = host === undefined ? {} : { Host: host };
    const manifest = await rawFetch(`${weir.origin}${base}/manifests/Q4_K_M${query}`, { headers });
    expect([manifest.status, manifest.sha256]).toEqual([200, image.digest]);
    for (const { digest } of image.blobs) {
      expect((await rawFetch(`${weir.origin}${base}/blobs/${digest}${query}`, { headers })).status).toBe(200);
    }
    const asked = weir.upstreamRequests().filter(({ path }) => path !== '/v2/');
    expect(asked.length).toBeGreaterThan(2);
    for (const { path } of asked) expect(path).toContain(`/v2/${repository}/`);
  });

  it('is another name than the same in small letters, and is kept through a restart of the catalog', async () => {
    await using weir = await startWeir({
      upstreams: { 'models.test': holding(repository, image, 'v1') },
      configure: asDefault,
    });
    expect((await rawFetch(`${weir.origin}/v2/${repository}/manifests/v1`)).status).toBe(200);
    const small = await rawFetch(`${weir.origin}/v2/${repository.toLowerCase()}/manifests/v1`);
    expect(small.status).toBe(404);
    const metadata = await rawFetch(`${weir.origin}/v2/_catalog`);
    expect(JSON.parse(metadata.body.toString())).toEqual({ repositories: [`models.test/${repository}`] });
  });
});

describe('a name whose first part has a dot', () => {
  it.each(['whisper.cpp', 'llama.cpp/server', 'com.example/app', 'x_y.z/w'])(
    '%s is a repository of the default upstream',
    async (repository) => {
      await using weir = await startWeir({
        upstreams: { 'models.test': holding(repository, image, 'models') },
        configure: asDefault,
      });
      const answer = await rawFetch(`${weir.origin}/v2/${repository}/manifests/models`);
      expect([answer.status, answer.sha256]).toEqual([200, image.digest]);
      const [name = ''] = (
        JSON.parse((await rawFetch(`${weir.origin}/v2/_catalog`)).body.toString()) as { repositories: string[] }
      ).repositories;
      expect(name).toBe(`models.test/${repository}`);
      expect((await rawFetch(`${weir.origin}/v2/${name}/manifests/models`)).sha256).toBe(image.digest);
    },
  );

  it('says beside a 404 of the default that it names no configured upstream', async () => {
    await using weir = await startWeir({ upstreams: { 'models.test': () => undefined }, configure: asDefault });
    for (const path of ['manifests/1', 'tags/list']) {
      const answer = await rawFetch(`${weir.origin}/v2/registry.corp/app/${path}`);
      expect([answer.status, answer.body.toString()]).toEqual([404, expect.stringContaining('no configured upstream')]);
    }
    expect((await rawFetch(`${weir.origin}/v2/org/app/manifests/1`)).body.toString()).not.toContain('configured');
    expect(weir.upstreamRequests().length).toBeGreaterThan(0);
  });

  it('of a well-known registry, with a port, or beside Docker Hub is 404 with the hint, and nobody is asked', async () => {
    await using weir = await startWeir({ upstreams: { 'models.test': () => undefined }, configure: asDefault });
    await using hub = await startWeir({ upstreams: { 'docker.io': () => undefined } });
    for (const [at, name] of [
      [weir, 'quay.io/org/app'],
      [weir, 'index.docker.io/org/app'],
      [weir, 'registry.corp:5000/app'],
      [weir, 'localhost/app'],
      [hub, 'registry.corp/app'],
    ] as const) {
      const answer = await rawFetch(`${at.origin}/v2/${name}/manifests/1`);
      expect([answer.status, answer.body.toString()]).toEqual([404, expect.stringContaining('no configured upstream')]);
    }
    expect([...weir.upstreamRequests(), ...hub.upstreamRequests()]).toEqual([]);
  });
});

describe('ns with another name of weir', () => {
  it('is as if there were none where the path names an upstream', async () => {
    await using weir = await startWeir({ upstreams: { 'docker.io': holding('org/app', image, '1') } });
    const answer = await rawFetch(`${weir.origin}/v2/docker.io/org/app/manifests/1?ns=other-name:5000`);
    expect([answer.status, answer.sha256]).toEqual([200, image.digest]);
    const unknown = await rawFetch(`${weir.origin}/v2/org/app/manifests/1?ns=other-name:5000`);
    expect(unknown.status).toBe(404);
  });
});
