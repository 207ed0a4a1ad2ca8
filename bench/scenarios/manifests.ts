/** Small answers from a warm cache: manifests by tag and by digest, and HEAD of a blob, on 64 connections. */
import type { Bench, Row, Scenario } from '../bench.ts';
import type { Subject } from '../peers/peer.ts';
import { type Sample, WrongAnswer } from '../results.ts';
import { wrk } from '../support/client.ts';
import {
  blobOf,
  blobPath,
  type Content,
  type Image,
  manifestDigestPath,
  manifestPath,
  manifestType,
  sha256,
} from '../support/content.ts';
import { cpuSeconds } from '../support/proc.ts';

const connections = 64;

function imageOf(content: Content): Image {
  return content.image(
    'small',
    Array.from({ length: 8 }, (_, index) => 65_536 + index),
  );
}

async function fetchChecked(url: string, digest: string): Promise<void> {
  const response = await fetch(url, { headers: { accept: manifestType } });
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`status ${response.status}`);
  if (sha256(bytes) !== digest) throw new WrongAnswer('other bytes');
}

/** The manifest by both names, twice each because the second answer comes from the cache, and the blob. */
async function warm({ origin }: Subject, image: Image): Promise<void> {
  for (const path of [manifestPath(image), manifestPath(image), manifestDigestPath(image), manifestDigestPath(image)]) {
    await fetchChecked(`${origin}${path}`, image.manifestDigest);
  }
  await fetchChecked(`${origin}${blobPath(image)}`, blobOf(image).digest);
  // Compilers and allocators settle.
  await wrk(`${origin}${manifestPath(image)}`, connections, 2);
}

async function load(bench: Bench, subject: Subject, path: string, method: string): Promise<Sample> {
  const before = subject.pid === undefined ? 0 : cpuSeconds(subject.pid);
  const { seconds } = bench.scale;
  const url = `${subject.origin}${path}`;
  const { perSecond, p50Ms, p99Ms } =
    method === 'HEAD' ? await bench.client.flood(url, connections, seconds) : await wrk(url, connections, seconds);
  const used = subject.pid === undefined ? undefined : cpuSeconds(subject.pid) - before;
  const requests = perSecond * seconds;
  return { perSecond, p50Ms, p99Ms, ...(used === undefined ? {} : { cpuPerMillion: (used / requests) * 1e6 }) };
}

/** Every peer is started and warmed once; the rows are then measured in turn. */
async function measure(bench: Bench, hasAccessLog: boolean): Promise<void> {
  const image = imageOf(bench.content);
  const suffix = hasAccessLog ? 'log' : 'nolog';
  const how = hasAccessLog ? 'access log on' : 'access log off';
  const rows: readonly (readonly [row: Row, path: string, method: string])[] = [
    [{ id: `manifest-tag-${suffix}`, title: `manifest by tag, ${how}` }, manifestPath(image), 'GET'],
    [{ id: `manifest-digest-${suffix}`, title: `manifest by digest, ${how}` }, manifestDigestPath(image), 'GET'],
    [{ id: `blob-head-${suffix}`, title: `HEAD of a blob, ${how}` }, blobPath(image), 'HEAD'],
  ];
  await using subjects = await bench.startAll(
    bench.peers,
    { hasAccessLog },
    (subject) => warm(subject, image),
    rows.map(([row]) => row),
  );
  for (const [row, path, method] of rows) {
    const one = (subject: Subject): Promise<void> =>
      bench.sample(row, subject.peer, () => load(bench, subject, path, method));
    await bench.rounds(subjects.all, one, method === 'HEAD' ? [] : undefined);
  }
}

export const manifests: Scenario = {
  name: 'manifests',
  title: 'Small requests, warm',
  about:
    'wrk, one thread, 64 connections, a manifest of eight layers. The access log goes to a file; ' +
    'each peer is measured with its log and without it.',
  prepare: (content) => void imageOf(content),
  async run(bench) {
    for (const hasAccessLog of [true, false]) await measure(bench, hasAccessLog);
  },
};
