/**
 * Renovate (v37.440.7, dist/modules/datasource/docker), Diun (v4, over containers/image) and Portainer's registry browser:
 * who asks often, and must not cost a pull each time.
 */
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { type ClientOptions, ReplayClient } from './support/client.ts';
import { app } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

const renovate: ClientOptions = {
  userAgent: 'RenovateBot/37.440.7 (https://github.com/renovatebot/renovate)',
  headers: { 'Accept-Encoding': 'gzip, deflate, br' },
};
const diun: ClientOptions = {
  userAgent: 'diun/4.30.0 go/1.24.9 Linux',
  headers: { 'Docker-Distribution-API-Version': 'registry/2.0' },
};
const tags = Array.from({ length: 25 }, (_, i) => `v1.${String(i).padStart(2, '0')}`);
const repository = 'docker.io/library/app';
const upstreams = {
  'docker.io': holding('library/app', app, ...tags),
};
const always = { tags: { ttl: '0s' } };

replays('Renovate, the digest of a tag', {
  upstreams,
  settings: always,
  client: renovate,
  pull: async (client, stage) => {
    // common.js `getAuthHeaders`: 200 needs no login.
    expect((await client.get('/v2/')).status).toBe(200);
    // index.js `getManifestResponse`, mode head: Docker-Content-Digest alone is read.
    const accept = [mediaTypes.dockerList, mediaTypes.dockerManifest, mediaTypes.ociManifest, mediaTypes.ociIndex].join(
      ', ',
    );
    const answer = await client.head(`/v2/${repository}/manifests/v1.03`, { accept });
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, app.digest]);
    // Its lookup of labels reads the manifest of the newest tag, once.
    if (stage === 'cold') await client.get(`/v2/${repository}/manifests/v1.03`, { accept });
  },
  // With a life of 0 s, the GET by tag begins with a HEAD as well.
  cold: { 'HEAD manifest': 2, 'GET manifest': 1 },
  warm: { 'HEAD manifest': 1 },
});

replays('Renovate, the tags', {
  upstreams,
  client: renovate,
  pull: async (client) => {
    // index.js `getDockerApiTags`: the first page twice, once to learn whether it has to log in.
    const first = `/v2/${repository}/tags/list?n=10000`;
    expect((await client.get(first, { accept: 'application/json' })).status).toBe(200);
    expect(await listAll(client, first, 'application/json')).toEqual(tags);
  },
  cold: { 'GET tags': 1 },
});

replays('Diun, the tags and the digest', {
  upstreams,
  settings: always,
  client: diun,
  pull: async (client, stage) => {
    await client.get('/v2/');
    // docker_image.go `GetRepositoryTags`: no n; path and query of Link are followed on its own host.
    expect(await listAll(client, `/v2/${repository}/tags/list`)).toEqual(tags);
    // docker_image.go `GetDigest`: HEAD with every Accept on a line of its own.
    const accept = [mediaTypes.ociManifest, mediaTypes.dockerManifest, mediaTypes.dockerList, mediaTypes.ociIndex];
    const answer = await client.head(`/v2/${repository}/manifests/v1.03`, { Accept: accept });
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, app.digest]);
    // A new digest is inspected.
    if (stage === 'cold') await client.get(`/v2/${repository}/manifests/${app.digest}`, { Accept: accept });
  },
  cold: { 'GET tags': 1, 'HEAD manifest': 1, 'GET manifest': 1 },
  warm: { 'HEAD manifest': 1 },
});

/** Follows `Link` as clients do, and answers every tag or repository. */
async function listAll(client: ReplayClient, first: string, accept = ''): Promise<readonly string[]> {
  const all: string[] = [];
  for (let target: string | undefined = first; target !== undefined;) {
    const answer = await client.get(target, accept === '' ? {} : { accept });
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
    const page = JSON.parse(answer.body.toString()) as { readonly tags?: string[]; readonly repositories?: string[] };
    all.push(...(page.tags ?? page.repositories ?? []));
    const link: string | undefined = /^<([^>]+)>; *rel="next"$/.exec(answer.headers['link'] ?? '')?.[1];
    if (link !== undefined) expect(new URL(link, client.origin).origin).toBe(client.origin);
    target = link;
  }
  return all;
}

describe('who lists', () => {
  it('gets every tag page by page, however small the pages of the upstream are', async () => {
    await using weir = await startWeir({ upstreams, behave: { 'docker.io': { pageSize: 4 } } });
    using client = new ReplayClient(weir.origin, renovate);
    expect(await listAll(client, `/v2/${repository}/tags/list?n=10`)).toEqual(tags);
    expect(await listAll(client, '/v2/library/app/tags/list?n=10&ns=docker.io')).toEqual(tags);
  });

  it('sees in the catalogue what is cached: Portainer (app/react, rest/catalog.js) by `n` and `last` of Link', async () => {
    await using weir = await startWeir({
      upstreams: {
        'docker.io': (content) => {
          for (const name of ['a', 'b', 'c']) content.add(`library/${name}`, app, 'v1');
        },
      },
    });
    using client = new ReplayClient(weir.origin, { userAgent: 'Go-http-client/1.1' });
    expect(await listAll(client, '/v2/_catalog?n=2')).toEqual([]);
    for (const name of ['a', 'b', 'c']) await client.get(`/v2/docker.io/library/${name}/manifests/v1`);
    const expected = ['a', 'b', 'c'].map((name) => `docker.io/library/${name}`);
    expect(await listAll(client, '/v2/_catalog?n=2')).toEqual(expected);
    await weir.stopUpstreams();
    expect(await listAll(client, '/v2/_catalog?n=2')).toEqual(expected);
    // Each of them can be asked for under the name that is shown.
    expect((await client.get(`/v2/${expected[0]}/manifests/v1`)).status).toBe(200);
  });
});
