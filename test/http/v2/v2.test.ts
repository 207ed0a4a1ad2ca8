import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { RawConnection } from '../../support/raw-client.ts';
import { ask } from '../support/ask.ts';
import { FakeBlob, patternSource } from '../support/fake-cache.ts';
import { startFront } from '../support/front.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const manifest = { bytes: Buffer.from(`{"mediaType":"${imageType}"}`), mediaType: imageType };
const digest = digestOf('some blob');

interface OciErrors {
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

function codeOf(text: string): string | undefined {
  return (JSON.parse(text) as OciErrors).errors[0]?.code;
}

describe('the ping', () => {
  it.each(['/v2/', '/v2', '/v2/?ns=docker.io'])('answers {} at %s', async (path) => {
    await using front = await startFront();
    const answer = await ask(front.port, path);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe('{}');
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.headers['content-length']).toBe('2');
    expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
  });

  it('has the same headers for HEAD', async () => {
    await using front = await startFront();
    const answer = await ask(front.port, '/v2/', { method: 'HEAD' });
    expect([answer.status, answer.headers['content-length'], answer.text]).toEqual([200, '2', '']);
  });
});

describe('addressing', () => {
  it.each([
    ['ns', '/v2/org/app/manifests/v1?ns=ghcr.io', undefined, 'ghcr.io/org/app', 'ghcr.io'],
    [
      'ns and the same first segment',
      '/v2/ghcr.io/org/app/manifests/v1?ns=ghcr.io',
      undefined,
      'ghcr.io/org/app',
      'ghcr.io',
    ],
    ['a mapped Host', '/v2/org/app/manifests/v1', 'lab.example:80', 'lab:5000/org/app', undefined],
    ['the first path segment', '/v2/lab-5000/org/app/manifests/v1', undefined, 'lab:5000/org/app', undefined],
    ['the default', '/v2/org/app/manifests/v1', undefined, 'docker.io/org/app', undefined],
    ['the default, an official image', '/v2/alpine/manifests/v1', undefined, 'docker.io/library/alpine', undefined],
  ])('by %s', async (_, path, host, repository, namespace) => {
    await using front = await startFront();
    front.cache.addManifest(repository, 'v1', manifest);
    const answer = await ask(front.port, path, { headers: host === undefined ? {} : { Host: host } });
    expect(answer.status).toBe(200);
    expect(answer.headers['oci-namespace']).toBe(namespace);
  });

  it.each([
    ['an unknown ns', '/v2/org/app/manifests/v1?ns=evil.example'],
    ['a repeated ns', '/v2/org/app/manifests/v1?ns=ghcr.io&ns=docker.io'],
    ['an empty ns', '/v2/org/app/manifests/v1?ns='],
    ['an ns that would end a header line', '/v2/ghcr.io/org/app/manifests/v1?ns=evil.example%0d%0aX:%20y'],
    ['an ns that no header can hold', '/v2/ghcr.io/org/app/manifests/v1?ns=%e2%82%ac.example'],
    ['a first segment like a host that is not configured', '/v2/evil.example/app/manifests/v1'],
  ])('%s is 404 NAME_UNKNOWN and asks nobody', async (_, path) => {
    await using front = await startFront();
    const answer = await ask(front.port, path);
    expect(answer.status).toBe(404);
    expect(codeOf(answer.text)).toBe('NAME_UNKNOWN');
    expect(front.cache.questions).toBe(0);
  });
});

describe('methods', () => {
  const paths = [
    '/v2/',
    '/v2/_catalog',
    '/v2/org/app/tags/list',
    '/v2/org/app/manifests/v1',
    `/v2/org/app/blobs/${digest}`,
    `/v2/org/app/referrers/${digest}`,
    '/v2/org/app/blobs/uploads/',
    '/v2/org/app/blobs/uploads/some-session',
  ];

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s is 405 UNSUPPORTED with Allow everywhere',
    async (method) => {
      await using front = await startFront();
      for (const path of paths) {
        const answer = await ask(front.port, path, { method });
        expect([answer.status, codeOf(answer.text), answer.headers.allow], path).toEqual([
          405,
          'UNSUPPORTED',
          'GET, HEAD',
        ]);
        expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
      }
      expect(front.cache.questions).toBe(0);
    },
  );

  it('a body that comes with a push is read, and the connection goes on', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    for (const body of [Buffer.alloc(3_000_000), 'short']) {
      connection.send('/v2/org/app/manifests/v1', { method: 'PUT', body });
      const head = await connection.head();
      expect([head.status, head.headers.connection]).toEqual([405, 'keep-alive']);
      expect((await connection.body(head)).cleanEnd).toBe(true);
    }
  });

  it('a body that is too long, or waits to be asked for, ends the connection after an answer at once', async () => {
    // Whatever waited here would wait for ever.
    await using front = await startFront({ clock: new FakeClock() });
    for (const headers of [{ 'Content-Length': '99999999999' }, { 'Content-Length': '9', Expect: '100-continue' }]) {
      using connection = await RawConnection.open(front.origin);
      connection.send('/v2/org/app/blobs/uploads/', { method: 'POST', headers });
      const head = await connection.head();
      expect([head.status, head.headers.connection]).toEqual([405, 'close']);
      expect((await connection.body(head)).cleanEnd).toBe(true);
      expect(await connection.ended()).not.toBe('closed');
    }
  });

  it('GET of an upload is 404 BLOB_UPLOAD_UNKNOWN', async () => {
    await using front = await startFront();
    const answer = await ask(front.port, '/v2/org/app/blobs/uploads/session');
    expect([answer.status, codeOf(answer.text)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });
});

describe('every answer', () => {
  it('repeats a harmless X-Request-Id and makes one otherwise', async () => {
    await using front = await startFront();
    const idFor = async (id: string | undefined): Promise<unknown> => {
      const answer = await ask(front.port, '/v2/', { headers: id === undefined ? {} : { 'X-Request-Id': id } });
      return answer.headers['x-request-id'];
    };
    expect(await idFor('trace-1.2:3/4=')).toBe('trace-1.2:3/4=');
    const made = [await idFor(undefined), await idFor('with space'), await idFor('<b>'), await idFor('x'.repeat(129))];
    for (const id of made) expect(id).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/);
    expect(new Set(made).size).toBe(4);
  });

  it('never asks a client who it is, whatever it says', async () => {
    await using front = await startFront();
    front.cache.addManifest('docker.io/org/app', 'v1', manifest);
    for (const Authorization of ['Basic bWU6c2VjcmV0', 'Bearer abc', 'nonsense']) {
      const answer = await ask(front.port, '/v2/org/app/manifests/v1', { headers: { Authorization } });
      expect(answer.status).toBe(200);
      expect(answer.headers['www-authenticate']).toBeUndefined();
    }
    expect(JSON.stringify(front.log.lines)).not.toContain('bWU6c2VjcmV0');
  });

  it('is never encoded, whatever the client accepts', async () => {
    await using front = await startFront();
    front.cache.addManifest('docker.io/org/app', 'v1', manifest);
    const blob = front.cache.addBlob('docker.io/org/app', new FakeBlob(patternSource(100_000)));
    for (const path of ['/v2/org/app/manifests/v1', `/v2/org/app/blobs/${blob.digest}`, '/v2/org/app/tags/list']) {
      const answer = await ask(front.port, path, { headers: { 'Accept-Encoding': 'zstd;q=1.0, gzip;q=0.8' } });
      expect(answer.status).toBe(200);
      expect(answer.headers['content-encoding']).toBeUndefined();
      expect(answer.headers['transfer-encoding']).toBeUndefined();
      expect(answer.headers['content-length']).toBe(String(answer.body.length));
    }
  });

  it('has Cache-Status as the cache says it', async () => {
    await using front = await startFront();
    front.cache.addManifest('docker.io/org/app', 'stale', {
      ...manifest,
      outcome: { kind: 'hit', ttlSeconds: -30, detail: 'stale' },
    });
    const answer = await ask(front.port, '/v2/org/app/manifests/stale');
    expect(answer.headers['cache-status']).toBe('weir; hit; ttl=-30; detail=stale');
  });

  it('has Cache-Status on a failure too', async () => {
    await using front = await startFront();
    const answer = await ask(front.port, '/v2/org/app/manifests/nope');
    expect([answer.status, answer.headers['cache-status']]).toEqual([404, 'weir; fwd=miss']);
  });
});
