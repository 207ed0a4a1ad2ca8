import { describe, expect, it } from 'vitest';
import { type AdminDeps, createAdmin } from '../../src/admin/admin.ts';
import { Listener } from '../../src/http/listener/listener.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { ask } from '../http/support/ask.ts';
import { LinesLogger } from '../http/support/front.ts';

interface Admin extends AsyncDisposable {
  readonly port: number;
  readonly log: LinesLogger;
}

async function startAdmin(deps: Partial<AdminDeps> = {}): Promise<Admin> {
  const log = new LinesLogger();
  const handler = createAdmin({
    metrics: () => Promise.resolve({ contentType: 'text/plain; version=0.0.4; charset=utf-8', body: '# metrics\n' }),
    isReady: () => true,
    token: undefined,
    isLoopback: true,
    hosts: ['weir.example'],
    logger: log,
    ...deps,
  });
  const listener = await Listener.listen({
    name: 'admin.listen',
    host: '127.0.0.1',
    port: 0,
    handler,
    clock: systemClock,
    logger: log,
  });
  return {
    port: listener.address.port,
    log,
    async [Symbol.asyncDispose]() {
      await listener.drain(AbortSignal.abort());
    },
  };
}

describe('the admin listener', () => {
  it('serves metrics and health', async () => {
    await using admin = await startAdmin();
    const metrics = await ask(admin.port, '/metrics');
    expect([metrics.status, metrics.text]).toEqual([200, '# metrics\n']);
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    const health = await ask(admin.port, '/healthz');
    expect([health.status, health.text]).toEqual([200, '{"status":"ok"}']);
    expect((await ask(admin.port, '/readyz')).status).toBe(200);
    for (const path of ['/metrics', '/healthz', '/readyz']) {
      const head = await ask(admin.port, path, { method: 'HEAD' });
      expect([head.status, head.body.length]).toEqual([200, 0]);
    }
  });

  it('is not ready before listening and while stopping, but alive', async () => {
    let isReady = false;
    await using admin = await startAdmin({ isReady: () => isReady });
    expect((await ask(admin.port, '/readyz')).status).toBe(503);
    expect((await ask(admin.port, '/healthz')).status).toBe(200);
    isReady = true;
    expect((await ask(admin.port, '/readyz')).status).toBe(200);
  });

  it('anything else is a 404 in JSON', async () => {
    await using admin = await startAdmin();
    for (const [path, method] of [
      ['/', 'GET'],
      ['/v2/', 'GET'],
      ['/metrics/x', 'GET'],
      ['/metrics', 'POST'],
      ['/%2e%2e/etc/passwd', 'GET'],
    ] as const) {
      const answer = await ask(admin.port, path, { method });
      expect([answer.status, answer.headers['content-type']]).toEqual([404, 'application/json']);
      expect(JSON.parse(answer.text)).toHaveProperty('errors');
    }
  });

  it('off loopback and without a token, only metrics and health answer', async () => {
    await using admin = await startAdmin({ isLoopback: false });
    expect((await ask(admin.port, '/metrics')).status).toBe(200);
    for (const path of ['/', '/api/gc', '/metrics/', '//metrics', '/healthz/..%2fapi']) {
      const answer = await ask(admin.port, path, { method: 'POST', headers: { Authorization: 'Bearer guess' } });
      expect([answer.status, answer.text.includes('admin.tokenFile')], path).toEqual([403, true]);
    }
  });

  it.each([true, false])('with a token, everything else wants it (loopback: %s)', async (isLoopback) => {
    await using admin = await startAdmin({ token: 's3cret-token', isLoopback });
    const statusFor = async (authorization?: string): Promise<number> =>
      (
        await ask(admin.port, '/api/gc', {
          headers: authorization === undefined ? {} : { Authorization: authorization },
        })
      ).status;
    expect(await statusFor()).toBe(401);
    for (const wrong of [
      'Bearer',
      'Bearer ',
      'Bearer s3cret-toke',
      'Bearer s3cret-token2',
      'Basic s3cret-token',
      's3cret-token',
      'Bearer s3cret-token x',
    ]) {
      expect(await statusFor(wrong), wrong).toBe(401);
    }
    expect(await statusFor('Bearer s3cret-token')).toBe(404);
    expect(await statusFor('bearer s3cret-token')).toBe(404);
    expect((await ask(admin.port, '/metrics')).status).toBe(200);
  });

  it('tells the client nothing about a defect, and the log everything', async () => {
    const defect = new Error('secret detail');
    await using admin = await startAdmin({ metrics: () => Promise.reject(defect) });
    const answer = await ask(admin.port, '/metrics');
    expect([answer.status, answer.text.includes('secret')]).toEqual([500, false]);
    expect(admin.log.errors.map(({ fields }) => fields.err)).toEqual([defect]);
  });

  it('survives hostile Host headers and targets', async () => {
    await using admin = await startAdmin();
    for (const Host of ['', '[', 'a b', '::::', 'x'.repeat(10_000)]) {
      const answer = await ask(admin.port, '/healthz', { headers: { Host } });
      expect([200, 400, 421]).toContain(answer.status);
    }
    expect((await ask(admin.port, '/healthz')).status).toBe(200);
  });
});

describe('the Host of a request to the admin listener', () => {
  const paths = ['/metrics', '/healthz', '/readyz', '/api'];

  it.each(['localhost', 'LOCALHOST:5001', 'a.localhost', '127.0.0.1:5001', '10.1.2.3:5001', '[::1]:5001', '[fe80::1]'])(
    '%s is answered',
    async (host) => {
      await using admin = await startAdmin();
      for (const path of paths) expect((await ask(admin.port, path, { headers: { Host: host } })).status).not.toBe(421);
    },
  );

  it.each(['weir.example', 'weir.example:5001', 'Weir.Example.:5001'])(
    '%s is answered, because it is configured',
    async (host) => {
      await using admin = await startAdmin();
      expect((await ask(admin.port, '/metrics', { headers: { Host: host } })).status).toBe(200);
    },
  );

  it.each(['rebound.example', 'rebound.example:5001', 'localhost.example', '127.0.0.1.example', 'a.weir.example'])(
    '%s is refused, whatever is asked',
    async (host) => {
      await using admin = await startAdmin();
      for (const path of paths) {
        const answer = await ask(admin.port, path, { headers: { Host: host } });
        expect([answer.status, answer.text.includes('admin.hosts')]).toEqual([421, true]);
      }
    },
  );
});
