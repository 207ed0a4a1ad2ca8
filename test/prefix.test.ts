/** A registry where repositories lie below another name: a Harbor project that is a proxy cache, an ECR pull-through prefix. */
import { describe, expect, it } from 'vitest';
import { buildImage } from './support/image-builder.ts';
import { rawFetch } from './support/raw-client.ts';
import { TokenIssuer } from './support/upstream/auth.ts';
import { redirect } from './support/upstream/behaviour.ts';
import { holding, startWeir, type Weir } from './clients/support/weir.ts';

const image = buildImage({ layers: [1000] });

interface Harbor extends AsyncDisposable {
  readonly weir: Weir;
  readonly issuer: TokenIssuer;
}

async function harbor(): Promise<Harbor> {
  const issuer = new TokenIssuer();
  const weir = await startWeir({
    upstreams: { 'docker.io': holding('dockerhub/library/nginx', image, '1', '2') },
    configure: { 'docker.io': { prefix: 'dockerhub' } },
    behave: { 'docker.io': { auth: { kind: 'bearer', issuer } } },
  });
  return { weir, issuer, [Symbol.asyncDispose]: () => weir[Symbol.asyncDispose]() };
}

describe('an upstream with a prefix', () => {
  it.each([
    ['by path', '/v2/docker.io/library/nginx', ''],
    ['by path, an official image', '/v2/docker.io/nginx', ''],
    ['as the default', '/v2/nginx', ''],
    ['by ns, as a mirror', '/v2/library/nginx', '?ns=docker.io'],
  ])('is asked below it, for tokens too, %s', async (_, base, query) => {
    await using at = await harbor();
    const { weir, issuer } = at;
    const get = (path: string): ReturnType<typeof rawFetch> => rawFetch(`${weir.origin}${base}/${path}${query}`);
    expect((await get('manifests/1')).sha256).toBe(image.digest);
    for (const { digest } of image.blobs) expect((await get(`blobs/${digest}`)).status).toBe(200);
    expect(JSON.parse((await get('tags/list')).body.toString())).toMatchObject({ tags: ['1', '2'] });
    expect((await get(`referrers/${image.digest}`)).status).toBe(200);
    const asked = weir
      .upstreamRequests()
      .filter(({ kind }) => ['manifest', 'blob', 'tags', 'referrers'].includes(kind));
    expect(new Set(asked.map(({ kind }) => kind)).size).toBe(4);
    for (const { repository } of asked) expect(repository).toBe('dockerhub/library/nginx');
    expect(issuer.issued.length).toBeGreaterThan(0);
    for (const { scopes } of issuer.issued) expect(scopes).toEqual(['repository:dockerhub/library/nginx:pull']);
  });

  it('shows clients the name without it: in Location, in _catalog, in the name of a list', async () => {
    await using at = await harbor();
    const { weir } = at;
    await rawFetch(`${weir.origin}/v2/nginx/manifests/1`);
    const metadata = await rawFetch(`${weir.origin}/v2/_catalog`);
    expect(JSON.parse(metadata.body.toString())).toEqual({ repositories: ['docker.io/library/nginx'] });
    const list = await rawFetch(`${weir.origin}/v2/nginx/tags/list?n=1`);
    expect(JSON.parse(list.body.toString())).toEqual({ name: 'nginx', tags: ['1'] });
    expect(list.headers['link']).toContain('/v2/nginx/tags/list?');
  });

  it('follows a Location below the prefix as what it is', async () => {
    await using at = await harbor();
    const { weir } = at;
    const [layer] = image.blobs.slice(-1);
    weir
      .upstream('docker.io')
      .on({ kind: 'blob' }, { times: 1 }, redirect(`/v2/dockerhub/library/nginx/blobs/${layer?.digest}?again`));
    const answer = await rawFetch(`${weir.origin}/v2/nginx/blobs/${layer?.digest}`);
    expect([answer.status, answer.sha256]).toEqual([200, layer?.digest]);
  });
});
