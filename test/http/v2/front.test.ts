import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { StoreError } from '../../../src/store/contract/blob-store.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { rawFetch } from '../../support/raw-client.ts';
import { ask } from '../support/ask.ts';
import { FakeBlob, patternSource } from '../support/fake-cache.ts';
import { startFront } from '../support/front.ts';

describe('outside /v2/', () => {
  it('/ says what this is', async () => {
    await using front = await startFront();
    for (const path of ['/', '/?x=1']) {
      const answer = await ask(front.port, path);
      expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/plain; charset=utf-8']);
      expect(answer.text).toContain('pull-through cache');
    }
    const head = await ask(front.port, '/', { method: 'HEAD' });
    expect([head.status, head.text]).toEqual([200, '']);
    expect((await ask(front.port, '/', { method: 'POST' })).status).toBe(405);
  });

  it.each(['/favicon.ico', '/v1/', '/v2foo', '/metrics', '/healthz', '/v2/../metrics', '//', '/V2/'])(
    '%s is a 404 or 400 in the OCI form',
    async (path) => {
      await using front = await startFront();
      const answer = await ask(front.port, path);
      expect([400, 404]).toContain(answer.status);
      expect(answer.headers['content-type']).toBe('application/json');
      expect(JSON.parse(answer.text)).toHaveProperty('errors');
    },
  );
});

describe('failures', () => {
  it('name the upstream and the cause, and are no errors of ours', async () => {
    await using front = await startFront();
    front.cache.error = new UpstreamError('rateLimited', 'too many requests', {
      upstream: 'docker.io',
      retryAfterMs: 61_000,
    });
    const answer = await ask(front.port, '/v2/org/app/manifests/v1');
    expect([answer.status, answer.headers['retry-after']]).toEqual([429, '61']);
    expect(JSON.parse(answer.text)).toEqual({
      errors: [{ code: 'TOOMANYREQUESTS', message: 'upstream docker.io: too many requests' }],
    });
    expect(front.log.errors).toEqual([]);
    await eventually(() => front.log.requests.length === 1);
    expect(front.log.requests[0]).toMatchObject({ status: 429, error: 'too many requests', upstream: 'docker.io' });
  });

  it('that nobody foresaw are 500 UNKNOWN with the request id, and are logged once with their stack', async () => {
    await using front = await startFront();
    const defect = new TypeError('cannot read properties of undefined (reading secret)');
    front.cache.error = defect;
    const answer = await ask(front.port, '/v2/org/app/manifests/v1');
    expect(answer.status).toBe(500);
    const id = String(answer.headers['x-request-id']);
    expect(answer.text).toBe(
      `{"errors":[{"code":"UNKNOWN","message":"internal error, see the log for request ${id}"}]}`,
    );
    expect(front.log.errors.map(({ fields }) => [fields.err, fields.requestId])).toEqual([[defect, id]]);
  });

  it('of the disk are logged and answered without its paths', async () => {
    await using front = await startFront();
    front.cache.error = new StoreError('sick', 'EIO on /srv/weir/blobs');
    const answer = await ask(front.port, `/v2/org/app/blobs/${digestOf('x')}`);
    expect(answer.status).toBe(503);
    expect(answer.text).not.toContain('/srv');
    expect(front.log.errors.length).toBe(1);
  });

  it('a header that cannot be written does not hang the client', async () => {
    await using front = await startFront();
    front.cache.addManifest('docker.io/org/app', 'v1', { bytes: Buffer.from('{}'), mediaType: 'bad\r\ntype' });
    const answer = await ask(front.port, '/v2/org/app/manifests/v1');
    expect(answer.status).toBe(500);
    expect(front.log.errors.length).toBe(1);
  });

  it('a cache that does not answer in time is a 504 that asks to come again', async () => {
    const clock = new FakeClock();
    await using front = await startFront({ clock, headDeadlineMs: 22_000 });
    const blob = front.cache.addBlob('docker.io/org/app', FakeBlob.pending(patternSource(9_000_000)));
    const pending = ask(front.port, `/v2/org/app/blobs/${blob.digest}`);
    await eventually(() => blob.waiting > 0);
    await clock.advance(22_000);
    const answer = await pending;
    expect([answer.status, answer.headers['retry-after']]).toEqual([504, '5']);
    expect(answer.text).toContain('upstream docker.io: there was nothing to send in time');
    await eventually(() => blob.openViews === 0 && blob.openReaders === 0);
    expect(clock.pending).toBe(0);
  });

  it('the deadline is over once the head is out', async () => {
    const clock = new FakeClock();
    await using front = await startFront({ clock, headDeadlineMs: 22_000 });
    const blob = front.cache.addBlob('docker.io/org/app', FakeBlob.pending(patternSource(100_000)));
    blob.advance(1);
    const pending = ask(front.port, `/v2/org/app/blobs/${blob.digest}`);
    await eventually(() => blob.waiting > 0);
    await clock.advance(10 * 60_000);
    blob.prove();
    expect((await pending).body.length).toBe(100_000);
  });
});

describe('the account of a request', () => {
  it('is one line and one event with everything known', async () => {
    await using front = await startFront();
    const blob = front.cache.addBlob('ghcr.io/org/app', new FakeBlob(patternSource(1234)));
    blob.outcome = { kind: 'miss', isCollapsed: true };
    await rawFetch(`${front.origin}/v2/org/app/blobs/${blob.digest}?ns=ghcr.io`, {
      headers: {
        'User-Agent': `containerd/2.3\u009b31m${'x'.repeat(500)}`,
        'X-Request-Id': 'r1',
        Host: 'weir.example:5000',
      },
    });
    await eventually(() => front.ended.length === 1);
    expect(front.log.requests).toEqual([
      {
        // A client cannot make its request look like somebody else's.
        requestId: expect.stringMatching(/^[0-9a-f]{12}-[0-9a-z]+$/) as string,
        clientRequestId: 'r1',
        method: 'GET',
        host: 'weir.example:5000',
        upstream: 'ghcr.io',
        repository: 'org/app',
        kind: 'blob',
        reference: blob.digest,
        status: 200,
        bytes: 1234,
        seconds: expect.any(Number) as number,
        outcome: 'collapsed',
        userAgent: expect.stringMatching(/^containerd\/2\.3\\u009b31mx+$/) as string,
      },
    ]);
    expect(String(front.log.requests[0]?.userAgent).length).toBeLessThan(220);
    expect(front.ended).toEqual([
      {
        upstream: 'ghcr.io',
        kind: 'blob',
        method: 'GET',
        outcome: 'collapsed',
        code: 200,
        seconds: expect.any(Number) as number,
        bytes: 1234,
      },
    ]);
  });

  it('counts no body for HEAD and 304', async () => {
    await using front = await startFront();
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const digest = front.cache.addManifest('docker.io/org/app', 'v1', { bytes: Buffer.from('{}'), mediaType });
    await ask(front.port, '/v2/org/app/manifests/v1', { method: 'HEAD' });
    await ask(front.port, '/v2/org/app/manifests/v1', { headers: { 'If-None-Match': `"${digest}"` } });
    await eventually(() => front.ended.length === 2);
    expect(front.ended.map(({ bytes, code, kind }) => [bytes, code, kind])).toEqual([
      [0, 200, 'manifest'],
      [0, 304, 'manifest'],
    ]);
  });

  it('has no line when that is turned off, and an event all the same', async () => {
    await using front = await startFront({ isAccessLogged: false });
    await ask(front.port, '/v2/');
    await eventually(() => front.ended.length === 1);
    expect(front.log.lines).toEqual([]);
  });

  it('keeps names of clients out of the event', async () => {
    await using front = await startFront();
    await ask(front.port, '/v2/some.host/app/manifests/v1');
    await ask(front.port, '/v2/-bad/manifests/v1');
    await eventually(() => front.ended.length === 2);
    expect(front.ended.map(({ upstream }) => upstream)).toEqual([undefined, undefined]);
  });
});
