import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { tempDirectory } from '../support/temp.ts';
import { download } from './support/blob-client.ts';
import { Daemon } from './support/daemon.ts';

const gib = 1024 ** 3;
const attacks = 2000;
/** Requests of the attacker at once, and how long each stays. */
const atOnce = 50;
const staysMs = 300;
const everyMs = 100;
/** 1 MB a second, of each. */
const perTick = Buffer.alloc(100_000);

/** Has a few small blobs; whatever else is asked for has 1 GiB and comes slowly. */
class SlowRegistry implements AsyncDisposable {
  readonly #small = new Map<string, Buffer>();
  readonly #slow = new Set<ServerResponse>();
  readonly #server: Server;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#server = createServer((req, res) => {
      const digest = (req.url ?? '').split('/').at(-1) ?? '';
      const bytes = this.#small.get(digest);
      if (bytes !== undefined) return void res.writeHead(200, { 'Content-Length': bytes.byteLength }).end(bytes);
      if (!digest.startsWith('sha256:')) return void res.writeHead(200).end();
      res.writeHead(200, { 'Content-Length': gib }).write(perTick);
      this.#slow.add(res);
      return void res.on('close', () => this.#slow.delete(res));
    });
    this.#timer = setInterval(() => this.#slow.forEach((res) => res.write(perTick)), everyMs);
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  add(bytes: Buffer): string {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    this.#small.set(digest, bytes);
    return pathOf(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function pathOf(digest: string): string {
  return `/v2/team/app/blobs/${digest}`;
}

/** Asks for a blob from another address than everybody else, and leaves. Resolves in any case. */
function beginAndLeave(port: number, path: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' });
    socket.on('error', () => undefined).on('close', () => resolve());
    socket.write(`GET ${path} HTTP/1.1\r\nHost: lab\r\n\r\n`);
    setTimeout(() => socket.destroy(), staysMs);
  });
}

describe('2,000 fills of different blobs, begun and left by one client, with 1,024 descriptors', () => {
  it('stop neither hits nor other clients’ misses, and leave few behind', async () => {
    await using temp = await tempDirectory('weir-faults');
    await using registry = new SlowRegistry();
    const upstreams = { lab: { url: await registry.listen(), default: true } };
    await using weir = await Daemon.start({ directory: join(temp.path, 'weir'), upstreams, openFiles: 1024 });
    const hit = registry.add(randomBytes(200_000));
    expect((await download(weir.port, hit)).isComplete).toBe(true);
    await eventually(() => weir.blobs().length === 1);
    const before = weir.descriptors().length;

    let left = attacks;
    const attacker = async (): Promise<void> => {
      while (left-- > 0) await beginAndLeave(weir.port, pathOf(`sha256:${randomBytes(32).toString('hex')}`));
    };
    const attack = Promise.all(Array.from({ length: atOnce }, attacker));
    let most = 0;
    let slowestMs = 0;
    let others = 0;
    while (left > 0) {
      const miss = registry.add(randomBytes(200_000));
      for (const path of [hit, miss]) {
        const got = await download(weir.port, path, { timeoutMs: 20_000 });
        expect([path === hit ? 'hit' : 'miss', got.status, got.isComplete]).toEqual([expect.anything(), 200, true]);
        slowestMs = Math.max(slowestMs, got.totalMs);
        others += 1;
      }
      most = Math.max(most, weir.descriptors().length);
    }
    await attack;
    await eventually(
      () => weir.descriptors().length - before <= 32 * 3,
      () => `few descriptors: ${weir.descriptors().length - before}`,
      60_000,
    );
    const fills = await weir.metric('weir_fills_running');
    const kept = weir.descriptors().length - before;
    console.log(
      `fills: ${others} others served, slowest ${slowestMs.toFixed(0)} ms; at most ${most} descriptors; ${kept} and ${fills} fills at the end`,
    );
    expect(others).toBeGreaterThan(10);
    expect(most).toBeLessThan(900);
    expect(fills).toBeLessThanOrEqual(32);
    expect(weir.tail(10_000)).not.toContain('EMFILE');
  });
});
