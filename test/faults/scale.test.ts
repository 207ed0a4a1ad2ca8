import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { randomSource } from '../support/byte-source.ts';
import { eventually } from '../support/gate.ts';
import { makeManyBlobs } from '../support/many-blobs.ts';
import { rawFetch } from '../support/raw-client.ts';
import { tempDirectory } from '../support/temp.ts';
import { Daemon } from './support/daemon.ts';
import { mb, mib, Stage } from './support/stage.ts';

const gib = 1024 * mib;
const hugeBytes = 100 * gib;

async function range(
  weir: Daemon,
  path: string,
  [start, end]: readonly [number, number],
  sizeBytes = hugeBytes,
): Promise<Buffer> {
  const answer = await rawFetch(weir.url + path, { headers: { range: `bytes=${start}-${end - 1}` } });
  const place = answer.headers['content-range'];
  expect([answer.status, place]).toEqual([206, `bytes ${start}-${end - 1}/${sizeBytes}`]);
  return answer.body;
}

describe('a blob of 100 GiB', () => {
  it('in the store is served at any place, in no more memory than a small one', async () => {
    await using temp = await tempDirectory('huge');
    const made = await makeManyBlobs({ root: join(temp.path, 'cache'), blobs: 10, sparseBytes: hugeBytes });
    const lab = { url: 'http://127.0.0.1:1', default: true };
    await using weir = await Daemon.start({ directory: temp.path, upstreams: { lab } });
    const { repository, blobs } = made.image(0);
    const path = `/v2/${repository}/blobs/${blobs[1]}`;
    await range(weir, path, [0, mib]);
    const before = weir.rssBytes();
    for (const start of [0, 5 * gib - 7, 50 * gib, hugeBytes - mib]) {
      expect(await range(weir, path, [start, start + mib])).toEqual(Buffer.alloc(mib));
    }
    console.log(`huge blob: resident memory ${(before / mb).toFixed(0)} to ${(weir.rssBytes() / mb).toFixed(0)} MB`);
    expect(weir.rssBytes()).toBeLessThan(before + 32 * mb);
  });

  it('that is only claimed is filled where it is read, into a sparse ingest with a small side file', async () => {
    const config = { cache: { maxSize: '200GiB' }, fill: { onAbandon: 'keep' } };
    await using stage = await Stage.set(config, { bandwidth: '64MiB' });
    const { weir, upstream } = stage;
    /** Reads thirteen places of a new blob. Not at 0: the last byte of a range from there waits for the proof. */
    const fill = async (sizeBytes: number, hex: string): Promise<number> => {
      const source = randomSource(sizeBytes, hex);
      const digest = upstream.content.addBlob('team/app', source, `sha256:${hex.repeat(64)}`);
      const step = Math.floor(sizeBytes / 13);
      for (let start = 7; start < sizeBytes; start += step) {
        const at = Math.min(start, sizeBytes - mib);
        const got = await range(weir, `/v2/team/app/blobs/${digest}`, [at, at + mib], sizeBytes);
        expect(got).toEqual(Buffer.from(source.bytes(at, at + mib)));
      }
      return weir.rssBytes();
    };
    const small = await fill(gib, '4');
    const sentBefore = await weir.metric('weir_upstream_bytes_total');
    const huge = await fill(hugeBytes, '5');
    console.log(`huge fill: resident memory ${(huge / mb).toFixed(0)} MB, of 1 GiB ${(small / mb).toFixed(0)} MB`);
    expect(huge).toBeLessThan(small + 48 * mb);
    await weir.idle();
    const part = weir.ingests().find((name) => name.startsWith('sha256-555')) ?? '';
    const { size, blocks } = statSync(join(weir.root, 'weir', 'ingest', part));
    expect(size).toBeGreaterThan(90 * gib);
    expect(blocks * 512).toBeLessThan(4 * gib);
    const side = statSync(join(weir.root, 'weir', 'ingest', part.replace(/part$/, 'json')));
    expect(side.size).toBeLessThan(4096);
    // Sparse, and no byte was asked for twice, although thirteen places were read: the small fill ran on meanwhile.
    const sent = (await weir.metric('weir_upstream_bytes_total')) - sentBefore;
    expect(blocks * 512).toBeLessThanOrEqual(sent + 4 * mib);
    expect(sent).toBeLessThanOrEqual(blocks * 512 + gib);
  });
});

/** Keep-alive connections of one small request each, kept open. */
class Crowd implements Disposable {
  readonly #sockets: Socket[] = [];
  answers = 0;
  closed = 0;

  /** Resolves when every one of them has its answer. Linux has 28,000 ports for each source address. */
  async join(port: number, request: string, count: number): Promise<void> {
    const expected = this.answers + count;
    for (let index = 0; index < count; index++) {
      const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (index % 8)}` });
      socket.on('data', () => void this.answers++);
      socket.on('close', () => void this.closed++);
      socket.on('error', () => undefined);
      socket.write(request);
      this.#sockets.push(socket);
      if (index % 500 === 499) await eventually(() => this.answers + this.closed >= expected - count + index - 499);
    }
    await eventually(
      () => this.answers + this.closed >= expected,
      () => `${this.answers} of ${expected} answers, ${this.closed} closed`,
    );
  }

  /** Each of some of them asks again. */
  async ask(request: string, count: number): Promise<void> {
    const expected = this.answers + count;
    for (let index = 0; index < count; index++) {
      this.#sockets[(index * 97) % this.#sockets.length]?.write(request);
    }
    await eventually(() => this.answers >= expected);
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

describe('10,000 connections', () => {
  it('stay open at little memory each, and a hit among them is as quick as alone', async () => {
    // The daemon takes half of what it may open, each of its threads an equal part, and the kernel deals unevenly.
    const mayOpen = Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }));
    const count = Math.min(10_000, Math.floor((Number.isNaN(mayOpen) ? 2 ** 20 : mayOpen) * 0.45));
    await using stage = await Stage.set({ log: { access: false } });
    const { weir, upstream } = stage;
    const image = buildImage({ seed: 'crowd' });
    upstream.content.add('team/app', image, 'v1');
    const path = `/v2/team/app/manifests/${image.digest}`;
    const request = `HEAD ${path} HTTP/1.1\r\nHost: ${weir.url.slice(7)}\r\n\r\n`;
    const timed = async (): Promise<number> => {
      const times: number[] = [];
      for (let round = 0; round < 200; round++) {
        const began = performance.now();
        expect((await rawFetch(weir.url + path)).status).toBe(200);
        times.push(performance.now() - began);
      }
      return times.toSorted((one, other) => one - other)[100] ?? 0;
    };
    await timed();
    const alone = await timed();
    const before = weir.rssBytes();
    using crowd = new Crowd();
    await crowd.join(weir.port, request, count);
    expect(crowd.closed).toBe(0);
    const perConnection = (weir.rssBytes() - before) / count;
    const talking = (async () => {
      for (let round = 0; round < 20; round++) await crowd.ask(request, 50);
    })();
    const among = await timed();
    await talking;
    expect(crowd.closed).toBe(0);
    expect(weir.descriptors().filter((target) => target.startsWith('socket:')).length).toBeGreaterThanOrEqual(count);
    console.log(
      `crowd: ${(perConnection / 1000).toFixed(1)} KB a connection; a hit takes ${alone.toFixed(2)} ms alone, ` +
        `${among.toFixed(2)} ms among ${count}`,
    );
    expect(perConnection).toBeLessThan(32_000);
  });
});
