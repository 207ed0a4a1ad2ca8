import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { ask } from '../support/ask.ts';
import { startFront } from '../support/front.ts';

const subject = digestOf('subject');
const indexType = 'application/vnd.oci.image.index.v1+json';

describe('tags/list', () => {
  it('lists under the name that the client used, with a relative link that leads back the same way', async () => {
    await using front = await startFront();
    front.cache.tagsAnswer = {
      tags: ['1.0', '1.1'],
      next: { n: 2, last: '1.1' },
      outcome: { kind: 'hit', ttlSeconds: 12 },
    };
    const answer = await ask(front.port, '/v2/ghcr.io/org/app/tags/list?n=2&ns=ghcr.io');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(JSON.parse(answer.text)).toEqual({ name: 'ghcr.io/org/app', tags: ['1.0', '1.1'] });
    expect(answer.headers.link).toBe('</v2/ghcr.io/org/app/tags/list?n=2&last=1.1&ns=ghcr.io>; rel="next"');
    expect(answer.headers['cache-status']).toBe('weir; hit; ttl=12');
    expect(answer.headers['oci-namespace']).toBe('ghcr.io');
    expect(front.cache.tagsQueries).toMatchObject([
      { upstream: 'ghcr.io', repository: 'org/app', n: 2, last: undefined },
    ]);
  });

  it('answers n=0 with an empty list and no link', async () => {
    await using front = await startFront();
    front.cache.tagsAnswer = { tags: ['a'], next: { n: 0, last: 'a' }, outcome: { kind: 'hit' } };
    const answer = await ask(front.port, '/v2/library/alpine/tags/list?n=0');
    expect(JSON.parse(answer.text)).toEqual({ name: 'library/alpine', tags: [] });
    expect(answer.headers.link).toBeUndefined();
  });

  it('never says null, and has no link on the last page', async () => {
    await using front = await startFront();
    const answer = await ask(front.port, '/v2/library/alpine/tags/list');
    expect(answer.text).toBe('{"name":"library/alpine","tags":[]}');
    expect(answer.headers.link).toBeUndefined();
  });

  it.each(['-1', '1.5', 'x', '99999999999999999999'])('refuses n=%s', async (n) => {
    await using front = await startFront();
    const answer = await ask(front.port, `/v2/library/alpine/tags/list?n=${n}`);
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('PAGINATION_NUMBER_INVALID');
    expect(front.cache.questions).toBe(0);
  });
});

describe('referrers', () => {
  it('is an index with exactly that type, and says when it was filtered', async () => {
    await using front = await startFront();
    const manifest = { mediaType: 'a/b', digest: digestOf('x'), size: 3, annotations: { k: 'v' } };
    front.cache.referrersAnswer = {
      manifests: [manifest],
      next: { n: 1, last: manifest.digest },
      isFiltered: true,
      outcome: { kind: 'miss', isStored: true },
    };
    const path = `/v2/library/alpine/referrers/${subject}`;
    const answer = await ask(front.port, `${path}?artifactType=a%2Fb&n=1`);
    expect(answer.headers['content-type']).toBe(indexType);
    expect(JSON.parse(answer.text)).toEqual({ schemaVersion: 2, mediaType: indexType, manifests: [manifest] });
    expect(answer.headers['oci-filters-applied']).toBe('artifactType');
    expect(answer.headers.link).toBe(
      `<${path}?artifactType=a%2Fb&n=1&last=${encodeURIComponent(manifest.digest)}>; rel="next"`,
    );
    expect(front.cache.referrersQueries).toMatchObject([
      {
        upstream: 'docker.io',
        repository: 'library/alpine',
        digest: subject,
        artifactType: 'a/b',
        n: 1,
        last: undefined,
      },
    ]);
  });

  it('has no filter header when nothing was filtered', async () => {
    await using front = await startFront();
    const answer = await ask(front.port, `/v2/library/alpine/referrers/${subject}`);
    expect(answer.status).toBe(200);
    expect(answer.headers['oci-filters-applied']).toBeUndefined();
    expect(JSON.parse(answer.text)).toMatchObject({ manifests: [] });
  });

  it('an upstream without the API is 404 UNSUPPORTED, so that clients try the fallback tag', async () => {
    await using front = await startFront();
    front.cache.error = new UpstreamError('unsupported', 'no referrers API', { upstream: 'docker.io', status: 404 });
    const answer = await ask(front.port, `/v2/library/alpine/referrers/${subject}`);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text)).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] });
  });
});

describe('_catalog', () => {
  it('lists what is cached, of all upstreams or of the named one', async () => {
    await using front = await startFront();
    front.cache.catalogAnswer = { repositories: ['org/app'], next: { n: 1, last: 'org/app' } };
    const answer = await ask(front.port, '/v2/_catalog?n=1&ns=ghcr.io');
    expect(JSON.parse(answer.text)).toEqual({ repositories: ['org/app'] });
    expect(answer.headers.link).toBe('</v2/_catalog?n=1&last=org%2Fapp&ns=ghcr.io>; rel="next"');
    expect((await ask(front.port, '/v2/_catalog?last=x')).status).toBe(200);
    expect(front.cache.catalogQueries).toEqual([
      { upstream: 'ghcr.io', n: 1, last: undefined },
      { upstream: undefined, n: undefined, last: 'x' },
    ]);
  });

  it('lists everything where ns is the name of weir itself, and goes on under it', async () => {
    await using front = await startFront();
    front.cache.catalogAnswer = { repositories: ['org/app'], next: { n: 1, last: 'org/app' } };
    const own = `127.0.0.1:${front.port}`;
    const answer = await ask(front.port, `/v2/_catalog?n=1&ns=${own}`);
    expect([answer.status, answer.headers.link]).toEqual([200, expect.stringContaining(encodeURIComponent(own))]);
    expect(front.cache.catalogQueries).toEqual([{ upstream: undefined, n: 1, last: undefined }]);
  });

  it.each(['ns=unknown.example', 'ns=ghcr.io&ns=docker.io', 'ns='])('refuses %s', async (query) => {
    await using front = await startFront();
    const answer = await ask(front.port, `/v2/_catalog?${query}`);
    expect(answer.status).toBe(404);
    expect(answer.text).toContain('NAME_UNKNOWN');
    expect(front.cache.catalogQueries).toEqual([]);
  });
});

describe('every listing', () => {
  it('answers HEAD with the headers of GET', async () => {
    await using front = await startFront();
    for (const path of ['/v2/library/alpine/tags/list', `/v2/a/b/referrers/${subject}`, '/v2/_catalog']) {
      const get = await ask(front.port, path, { headers: { 'X-Request-Id': 'same' } });
      const head = await ask(front.port, path, { method: 'HEAD', headers: { 'X-Request-Id': 'same' } });
      expect(head.body.length).toBe(0);
      expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' });
    }
  });
});
