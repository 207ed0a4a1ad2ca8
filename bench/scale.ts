/**
 * What grows with the number of blobs, from 10^3 to 10^6, and what does not: `npm run build && node bench/scale.ts`
 * writes SCALE.md and SCALE.svg beside this file (`npm run format` afterwards). It takes about five minutes and 6 GB of disk, and wants an idle machine.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Space } from '../src/fill/space/space.ts';
import { systemClock } from '../src/lib/clock.ts';
import { ChangeCounters } from '../src/lib/change-counters.ts';
import { silentLogger } from '../src/lib/log.ts';
import { openStore } from '../src/store/open.ts';
import { Daemon } from '../test/faults/support/daemon.ts';
import { eventually } from '../test/support/gate.ts';
import { makeManyBlobs, type ManyBlobs } from '../test/support/many-blobs.ts';
import { tempDirectory } from '../test/support/temp.ts';
import { growthChart, growthTable } from './support/growth.ts';

/** One root of so many blobs. Times in milliseconds, memory in MB. */
export interface ScaleRow {
  readonly blobs: number;
  /** From the start of the process until it answers. */
  readonly startClean: number;
  readonly startKilled: number;
  /** The walk through all files and rows, beside serving. */
  readonly recovery: number;
  readonly manifestMedian: number;
  readonly manifestP99: number;
  /** The same while the walk runs. */
  readonly manifestMedianInRecovery: number;
  readonly manifestP99InRecovery: number;
  /** Each another blob, as a client that pulls does: looked up, opened, sent. */
  readonly blobMedian: number;
  readonly blobP99: number;
  readonly catalogPage: number;
  readonly metrics: number;
  /** How long 1 MiB waits for its room in a full cache. */
  readonly eviction: number;
  readonly memoryAtStart: number;
  readonly memoryAfterRecovery: number;
  readonly stop: number;
}

const starts = 5;
const requests = 400;

export async function measureScale(counts: readonly number[]): Promise<readonly ScaleRow[]> {
  const rows: ScaleRow[] = [];
  for (const blobs of counts) {
    await using temp = await tempDirectory('scale');
    const made = await makeManyBlobs({ root: join(temp.path, 'cache'), blobs });
    rows.push(await measure(temp.path, made));
    await rm(join(temp.path, 'cache'), { recursive: true });
  }
  return rows;
}

async function measure(directory: string, made: ManyBlobs): Promise<ScaleRow> {
  const upstreams = { lab: { url: 'http://127.0.0.1:1', default: true } };
  await using weir = await Daemon.start({ directory, upstreams, config: { log: { access: false } } });
  const looked = async (times: number): Promise<void> =>
    eventually(() => walks(weir).length >= times, undefined, 600_000);
  await looked(1);
  const cleanStarts: number[] = [];
  for (let start = 0; start < starts; start++) {
    await weir.stop();
    cleanStarts.push(await weir.start());
  }
  const memoryAtStart = weir.rssBytes() / 1e6;
  await weir.kill();
  const before = walks(weir).length;
  const startKilled = await weir.start();
  const { repository, manifest } = made.image(made.images - 1);
  const manifestPath = `/v2/${repository}/manifests/${manifest}`;
  const busy: number[] = [];
  while (walks(weir).length === before) busy.push(await timed(weir, manifestPath));
  const quiet: number[] = [];
  for (let request = 0; request < requests; request++) quiet.push(await timed(weir, manifestPath));
  const memoryAfterRecovery = weir.rssBytes() / 1e6;
  const blobTimes: number[] = [];
  for (let request = 0; request < requests; request++) {
    const image = made.image(Math.floor((made.images * request) / requests));
    blobTimes.push(await timed(weir, `/v2/${image.repository}/blobs/${image.blobs[request % 9]}`));
  }
  const pages: number[] = [];
  for (let page = 0; page < starts; page++) pages.push(await timed(weir, '/v2/_catalog?n=100'));
  const scrapes: number[] = [];
  for (let scrape = 0; scrape < starts; scrape++) scrapes.push(await elapsed(() => weir.metric('weir_store_blobs')));
  const stop = await elapsed(() => weir.stop());
  return {
    blobs: made.blobs,
    startClean: median(cleanStarts),
    startKilled,
    recovery: walks(weir).at(-1) ?? 0,
    manifestMedian: median(quiet),
    manifestP99: quantile(quiet, 0.99),
    manifestMedianInRecovery: median(busy),
    manifestP99InRecovery: quantile(busy, 0.99),
    blobMedian: median(blobTimes),
    blobP99: quantile(blobTimes, 0.99),
    catalogPage: median(pages),
    metrics: median(scrapes),
    eviction: await measureEviction(weir.root),
    memoryAtStart,
    memoryAfterRecovery,
    stop,
  };
}

/** In this process: a daemon cannot be told to be exactly full. */
async function measureEviction(root: string): Promise<number> {
  const parts = { clock: systemClock, logger: silentLogger };
  const opened = await openStore({ root, partialTtlMs: 86_400_000, ...parts });
  await opened.recovered;
  const { store, metadata } = opened;
  const { blobBytes, overheadBytes } = store.usage();
  const nothing = (): void => undefined;
  const events = {
    fillStarted: nothing,
    fillEnded: nothing,
    fillJoined: nothing,
    fillResumed: nothing,
    unprovedRangeBytes: nothing,
    evicted: nothing,
    prefetchEnded: nothing,
    rejected: nothing,
  };
  const limits = { maxBytes: blobBytes + overheadBytes + 2 ** 21, minFreeBytes: () => 0 };
  const space = new Space({ store, metadata, ...parts, events, limits, changes: new ChangeCounters() });
  const waited = await elapsed(async () => space.reserve().cover(2 ** 20, 2 ** 25));
  await space.close();
  await opened.close();
  return waited;
}

/** How long each walk through the root took, as the log has it. */
function walks(weir: Daemon): readonly number[] {
  return readFileSync(weir.logFile, 'utf8')
    .split('\n')
    .filter((line) => line.includes('the cache root was looked through') && line.includes('"isComplete":true'))
    .map((line) => Number((JSON.parse(line) as { readonly durationMs: number }).durationMs));
}

async function timed(weir: Daemon, path: string): Promise<number> {
  return elapsed(async () => {
    const answer = await fetch(weir.url + path);
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  });
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

if (import.meta.main) {
  const counts = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1000, 10_000, 100_000, 1_000_000];
  const rows = await measureScale(counts);
  writeFileSync(join(import.meta.dirname, 'SCALE.svg'), growthChart(rows));
  writeFileSync(join(import.meta.dirname, 'SCALE.md'), growthTable(rows));
}
