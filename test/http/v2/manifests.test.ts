import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { ask } from '../support/ask.ts';
import { type Front, startFront } from '../support/front.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const bytes = Buffer.from(`\ufeff{"mediaType": "${imageType}", "mediaType": "x"}\n\n`);

async function frontWithManifest(): Promise<Front & { digest: string }> {
  const front = await startFront();
  const digest = front.cache.addManifest('docker.io/library/alpine', '3.20', { bytes, mediaType: imageType });
  return { ...front, digest };
}

describe('manifests', () => {
  it('are served by tag and by digest exactly as they are', async () => {
    await using front = await frontWithManifest();
    for (const reference of ['3.20', front.digest, front.digest.replace(':', '%3A')]) {
      const answer = await ask(front.port, `/v2/library/alpine/manifests/${reference}`);
      expect(answer.status).toBe(200);
      expect(answer.body.equals(bytes)).toBe(true);
      expect(answer.headers['content-type']).toBe(imageType);
      expect(answer.headers['docker-content-digest']).toBe(front.digest);
      expect(answer.headers['content-length']).toBe(String(bytes.length));
      expect(answer.headers.etag).toBe(`"${front.digest}"`);
      expect(answer.headers['cache-status']).toBe('weir; hit');
      expect(answer.headers['cache-control']).toBe(reference === '3.20' ? undefined : 'max-age=31536000, immutable');
    }
  });

  it('HEAD has the headers of GET, asks no more than a HEAD, and has no body', async () => {
    await using front = await frontWithManifest();
    const path = '/v2/library/alpine/manifests/3.20';
    const headers = { 'X-Request-Id': 'same' };
    const get = await ask(front.port, path, { headers });
    const head = await ask(front.port, path, { method: 'HEAD', headers });
    expect(head.body.length).toBe(0);
    expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' });
    expect(front.cache.manifestQueries.map(({ method }) => method)).toEqual(['get', 'head']);
  });

  it.each(['"D"', 'D', 'W/"D"', '"x", "D"', '*'])('If-None-Match %s is 304 for the cost of a HEAD', async (pattern) => {
    await using front = await frontWithManifest();
    const condition = pattern.replace('D', front.digest);
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(front.port, '/v2/library/alpine/manifests/3.20', {
        method,
        headers: { 'If-None-Match': condition },
      });
      expect(answer.status).toBe(304);
      expect(answer.body.length).toBe(0);
      expect(answer.headers.etag).toBe(`"${front.digest}"`);
      expect(answer.headers['docker-content-digest']).toBe(front.digest);
      expect(answer.headers['cache-status']).toBe('weir; hit');
    }
    expect(front.cache.manifestQueries.map(({ method }) => method)).toEqual(['head', 'head']);
  });

  it('another If-None-Match is the whole manifest', async () => {
    await using front = await frontWithManifest();
    const answer = await ask(front.port, '/v2/library/alpine/manifests/3.20', {
      headers: { 'If-None-Match': `"${digestOf('old')}"` },
    });
    expect(answer.status).toBe(200);
    expect(answer.body.equals(bytes)).toBe(true);
  });

  it('ignores Range', async () => {
    await using front = await frontWithManifest();
    for (const Range of ['bytes=0-', 'bytes=1-3', 'bytes=99999-', 'nonsense']) {
      const answer = await ask(front.port, '/v2/library/alpine/manifests/3.20', { headers: { Range } });
      expect(answer.status).toBe(200);
      expect(answer.body.equals(bytes)).toBe(true);
    }
  });

  it('Accept changes nothing, in one line or in several', async () => {
    await using front = await frontWithManifest();
    for (const Accept of ['text/html', 'application/vnd.docker.distribution.manifest.v2+json', ['a/b', 'c/d']]) {
      const answer = await ask(front.port, '/v2/library/alpine/manifests/3.20', { headers: { Accept } });
      expect(answer.headers['content-type']).toBe(imageType);
    }
  });

  it('an unknown one is 404 MANIFEST_UNKNOWN, for HEAD with the same headers', async () => {
    await using front = await frontWithManifest();
    for (const reference of ['nope', digestOf('nope')]) {
      const path = `/v2/library/alpine/manifests/${reference}`;
      const headers = { 'X-Request-Id': 'same' };
      const get = await ask(front.port, path, { headers });
      const head = await ask(front.port, path, { method: 'HEAD', headers });
      expect([get.status, head.status]).toEqual([404, 404]);
      expect(get.text).toContain('"MANIFEST_UNKNOWN"');
      expect(get.headers['content-type']).toBe('application/json');
      expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' });
    }
  });

  it('a digest that is none is 400 DIGEST_INVALID, what can be no tag 404 MANIFEST_UNKNOWN', async () => {
    await using front = await frontWithManifest();
    const digest = await ask(front.port, '/v2/library/alpine/manifests/sha256:totallywrong');
    expect([digest.status, digest.text.includes('DIGEST_INVALID')]).toEqual([400, true]);
    const tag = await ask(front.port, '/v2/library/alpine/manifests/.x');
    expect([tag.status, tag.text.includes('MANIFEST_UNKNOWN')]).toEqual([404, true]);
    expect(front.cache.questions).toBe(0);
  });
});
