import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { ask } from './support/ask.ts';
import { bytesOf, FakeBlob, patternSource } from './support/fake-cache.ts';
import { startFront } from './support/front.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';

describe('/v2/', () => {
  it('answers the ping with {} and the API version, with and without the slash', async () => {
    await using front = await startFront();
    for (const path of ['/v2/', '/v2', '/v2/?ns=docker.io']) {
      const answer = await ask(front.port, path);
      expect(answer.status).toBe(200);
      expect(answer.text).toBe('{}');
      expect(answer.headers['content-type']).toBe('application/json');
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
    }
  });

  it('serves a manifest by tag and by digest, exactly as it is', async () => {
    await using front = await startFront();
    const bytes = Buffer.from(`{"mediaType": "${imageType}"}\n`);
    const digest = front.cache.addManifest('docker.io/library/alpine', '3.20', { bytes, mediaType: imageType });
    for (const reference of ['3.20', digest]) {
      const answer = await ask(front.port, `/v2/library/alpine/manifests/${reference}`);
      expect(answer.status).toBe(200);
      expect(answer.body.equals(bytes)).toBe(true);
      expect(answer.headers['content-type']).toBe(imageType);
      expect(answer.headers['docker-content-digest']).toBe(digest);
      expect(answer.headers['content-length']).toBe(String(bytes.length));
      expect(answer.headers.etag).toBe(`"${digest}"`);
      expect(answer.headers['cache-status']).toBe('weir; hit');
    }
  });

  it('serves a blob of some megabytes byte for byte', async () => {
    await using front = await startFront();
    const blob = front.cache.addBlob('docker.io/library/alpine', new FakeBlob(patternSource(9_000_001)));
    const answer = await ask(front.port, `/v2/library/alpine/blobs/${blob.digest}`);
    expect(answer.status).toBe(200);
    expect(digestOf(answer.body)).toBe(digestOf(bytesOf(blob.source)));
    expect(answer.headers.location).toBe(`/v2/library/alpine/blobs/${blob.digest}`);
    expect([blob.openViews, blob.viewCloses, blob.openReaders, blob.readerCloses]).toEqual([0, 1, 0, 1]);
    expect(front.pool.bytesInUse).toBe(0);
  });
});
