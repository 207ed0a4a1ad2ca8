/** The daemon as it is composed, over a scripted registry, real sockets and a real cache root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startDaemon } from '../../src/daemon/daemon.ts';
import type { Daemon } from '../../src/cli/frame/command.ts';
import type { Config } from '../../src/config/values/config.ts';
import { ListenError } from '../../src/http/listener/listen-error.ts';
import { StoreError } from '../../src/store/contract/blob-store.ts';
import { digestOfSource, randomSource } from '../support/byte-source.ts';
import { configIn } from '../support/config-file.ts';
import { eventually } from '../support/gate.ts';
import { buildImage } from '../support/image-builder.ts';
import { expectNoLeaks, takeSnapshot } from '../support/leaks.ts';
import { RawConnection, rawFetch } from '../support/raw-client.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDirectory } from '../support/temp.ts';
import { hold } from '../support/upstream/behaviour.ts';

interface Started extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly origin: string;
  readonly admin: string;
  /** Parsed log lines. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
}

async function start(config: Config, graceMs = 10_000): Promise<Started> {
  const lines: Record<string, unknown>[] = [];
  const logTo = {
    write(text: string) {
      for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line) as Record<string, unknown>);
    },
  };
  const daemon = await startDaemon(config, { logTo, ownsProcess: false, graceMs });
  const { registry, admin } = daemon.addresses;
  return {
    daemon,
    lines,
    origin: `http://127.0.0.1:${registry.port}`,
    admin: `http://127.0.0.1:${admin.port}`,
    [Symbol.asyncDispose]: () => daemon.stop(),
  };
}

function lab(upstream: { readonly url: string }, more: object = {}): object {
  return { upstreams: { lab: { url: upstream.url, default: true, ...more } } };
}

async function isRefused(origin: string): Promise<boolean> {
  try {
    (await RawConnection.open(origin)).close();
    return false;
  } catch {
    return true;
  }
}

describe('the daemon', () => {
  it('says so when more is to stay free than its file system has, and only then', async () => {
    await using temp = await tempDirectory('app');
    await using upstream = await ScriptedUpstream.start();
    for (const [minFree, warnings] of [
      ['1PiB', 1],
      ['99%', 0],
    ] as const) {
      const root = temp.file('cache');
      await using weir = await start(await configIn(temp, { ...lab(upstream), cache: { root, minFree } }));
      const found = weir.lines.filter(({ msg }) => String(msg).startsWith('cache.minFree is as much as'));
      expect([minFree, found.length]).toEqual([minFree, warnings]);
    }
  });

  it('pulls an image once, serves it warm and without its upstream, and leaves nothing behind', async () => {
    const before = takeSnapshot();
    {
      await using temp = await tempDirectory('app');
      await using upstream = await ScriptedUpstream.start();
      const image = buildImage({ seed: 'app', layers: [3_000_000, 100] });
      upstream.content.add('org/app', image, 'v1');
      await using weir = await start(
        await configIn(temp, { ...lab(upstream, { tags: { ttl: '1h' } }), prefetch: { enabled: false } }),
      );
      for (const outcome of ['weir; fwd=miss; stored', 'weir; hit']) {
        const manifest = await rawFetch(`${weir.origin}/v2/org/app/manifests/v1`);
        expect([manifest.status, manifest.body.equals(image.bytes)]).toEqual([200, true]);
        for (const { digest, bytes } of image.blobs) {
          const blob = await rawFetch(`${weir.origin}/v2/org/app/blobs/${digest}`);
          expect([blob.status, blob.cleanEnd, blob.body.equals(bytes)]).toEqual([200, true, true]);
          expect(blob.headers['cache-status']).toBe(outcome);
        }
        if (outcome.includes('miss')) await upstream.stop();
      }
      expect(upstream.count({ kind: 'blob' })).toBe(image.blobs.length);
      const metrics = await rawFetch(`${weir.admin}/metrics`);
      const text = metrics.body.toString();
      expect(text).toContain('weir_fills_total{result="stored"} 3');
      expect(text).toContain('weir_sendfile_usable 1');
      expect(text).toMatch(/weir_requests_total\{upstream="lab",kind="blob",method="GET",outcome="hit",code="200"\} 3/);
      await eventually(() => weir.lines.filter(({ msg }) => msg === 'request').length === 8);
      await weir.daemon.stop();
      expect(weir.lines.at(-1)).toMatchObject({ msg: 'stopped', brokenConnections: 0 });
      expect(weir.lines.filter(({ level }) => level === 'error')).toEqual([]);
    }
    await expectNoLeaks(before);
  });

  it('fetches the rest of an image as soon as a client asks for some of it', async () => {
    await using temp = await tempDirectory('app');
    await using upstream = await ScriptedUpstream.start();
    const image = buildImage({ seed: 'prefetch', layers: [100_000, 200_000] });
    upstream.content.add('org/app', image, 'v1');
    await using weir = await start(await configIn(temp, lab(upstream)));
    await rawFetch(`${weir.origin}/v2/org/app/manifests/v1`);
    await rawFetch(`${weir.origin}/v2/org/app/blobs/${image.blobs[0]?.digest}`);
    await upstream.received({ kind: 'blob' }, 3);
    for (const { digest, bytes } of image.blobs) {
      const blob = await rawFetch(`${weir.origin}/v2/org/app/blobs/${digest}`);
      expect([blob.status, blob.body.equals(bytes)]).toEqual([200, true]);
    }
    expect(upstream.count({ kind: 'blob' })).toBe(3);
  });

  it('listens at once with every upstream down or hung, and is ready', async () => {
    await using temp = await tempDirectory('app');
    await using hung = await ScriptedUpstream.start();
    hung.accept = 'hang';
    const config = await configIn(temp, {
      upstreams: { hung: { url: hung.url, default: true }, down: { url: 'http://127.0.0.1:1' } },
    });
    const startedMs = performance.now();
    await using weir = await start(config);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect((await rawFetch(`${weir.admin}/readyz`)).status).toBe(200);
    expect((await rawFetch(`${weir.origin}/v2/`)).status).toBe(200);
    const down = await rawFetch(`${weir.origin}/v2/down/app/manifests/v1`);
    expect([down.status, down.body.includes('upstream down')]).toEqual([502, true]);
    expect((await rawFetch(`${weir.admin}/healthz`)).status).toBe(200);
  });

  it('refuses a root that another daemon has, and a port that is taken, and leaves nothing behind', async () => {
    const before = takeSnapshot();
    {
      await using temp = await tempDirectory('app');
      await using elsewhere = await tempDirectory('app');
      const upstreams = { upstreams: {} };
      await using first = await start(await configIn(temp, upstreams));
      const locked = await start(await configIn(temp, upstreams)).catch((error: unknown) => error);
      expect(locked).toBeInstanceOf(StoreError);
      expect((locked as StoreError).kind).toBe('locked');
      const { port } = first.daemon.addresses.registry;
      const taken = await configIn(elsewhere, { ...upstreams, listen: `127.0.0.1:${port}` });
      const inUse = await start(taken).catch((error: unknown) => error);
      expect(inUse).toBeInstanceOf(ListenError);
      expect((inUse as ListenError).message).toContain(`listen: cannot listen on 127.0.0.1:${port}`);
      // The root that was opened for nothing is free again.
      await using second = await start(await configIn(elsewhere, upstreams));
      await second.daemon.stop();
    }
    await expectNoLeaks(before);
  });

  it('lets a download finish before it stops, and tells probes that it is not ready', async () => {
    await using temp = await tempDirectory('app');
    await using upstream = await ScriptedUpstream.start();
    const content = randomSource(5_000_000, 'slow');
    const digest = upstream.content.addBlob('org/app', content);
    upstream.on({ kind: 'blob' }, hold(2_000_000, upstream.gate('half')));
    await using weir = await start(await configIn(temp, lab(upstream)));
    using client = await RawConnection.open(weir.origin);
    client.send(`/v2/org/app/blobs/${digest}`);
    const head = await client.head();
    await upstream.gate('half').arrived();
    const stopping = weir.daemon.stop();
    expect((await rawFetch(`${weir.admin}/readyz`)).status).toBe(503);
    await eventually(() => isRefused(weir.origin));
    expect((await rawFetch(`${weir.admin}/healthz`)).status).toBe(200);
    upstream.gate('half').open();
    const body = await client.body(head, 'GET', { keep: false });
    expect([body.cleanEnd, body.sha256]).toEqual([true, digestOfSource(content)]);
    await stopping;
    await weir.daemon.stopped;
  });

  it('breaks a download off when asked twice, keeps what came, and continues after the next start', async () => {
    await using temp = await tempDirectory('app');
    await using upstream = await ScriptedUpstream.start();
    const content = randomSource(9_000_000, 'partial');
    const digest = upstream.content.addBlob('org/app', content);
    upstream.on({ kind: 'blob' }, { times: 1 }, hold(8_500_000, upstream.gate('end')));
    const config = await configIn(temp, lab(upstream));
    {
      await using weir = await start(config, 600_000);
      using client = await RawConnection.open(weir.origin);
      client.send(`/v2/org/app/blobs/${digest}`);
      const head = await client.head();
      const body = client.body(head, 'GET', { keep: false });
      await upstream.gate('end').arrived();
      const stopping = weir.daemon.stop();
      await weir.daemon.stop();
      await stopping;
      expect((await body).cleanEnd).toBe(false);
    }
    const sentBefore = upstream.bytesSent({ kind: 'blob' });
    await using again = await start(config);
    const answer = await rawFetch(`${again.origin}/v2/org/app/blobs/${digest}`, { keep: false });
    expect([answer.status, answer.cleanEnd, answer.sha256]).toEqual([200, true, digest]);
    expect(upstream.bytesSent({ kind: 'blob' }) - sentBefore).toBeLessThan(9_000_000);
  });

  it('writes no secret into its log', async () => {
    await using temp = await tempDirectory('app');
    await using upstream = await ScriptedUpstream.start();
    await writeFile(temp.file('password'), 'canary-password');
    await writeFile(temp.file('token'), 'canary-token');
    const config = await configIn(temp, {
      admin: { listen: '127.0.0.1:0', tokenFile: temp.file('token') },
      log: { level: 'debug' },
      ...lab(upstream, { auth: { username: 'me', passwordFile: temp.file('password') }, access: 'all' }),
    });
    await using weir = await start(config);
    const headers = { Authorization: 'Basic canary-client' };
    await rawFetch(`${weir.origin}/v2/org/app/manifests/v1`, { headers });
    await rawFetch(`${weir.admin}/api`, { headers: { Authorization: 'Bearer canary-token' } });
    await weir.daemon.stop();
    expect(weir.lines.length).toBeGreaterThan(3);
    expect(JSON.stringify(weir.lines)).not.toContain('canary');
    expect(weir.lines).toContainEqual(expect.objectContaining({ level: 'warn', upstreams: ['lab'] }));
  });
});

describe('the program', () => {
  it('serves, logs JSON on standard output, and ends with code 0 on SIGTERM', { timeout: 60_000 }, async () => {
    await using temp = await tempDirectory('app');
    const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
    const child = spawn(process.execPath, [main, 'serve'], {
      cwd: temp.path,
      env: { PATH: process.env['PATH'], WEIR_LISTEN: '127.0.0.1:0', WEIR_ADMIN_LISTEN: '127.0.0.1:0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    await eventually(
      () => out.includes('ready at'),
      () => `${out}\n${err}`,
    );
    child.kill('SIGTERM');
    const [code] = (await once(child, 'close')) as [number | null];
    expect([code, err]).toEqual([0, '']);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly msg: string });
    expect(lines.at(-1)?.msg).toBe('stopped');
  });
});
