/** A blob of 1 GiB from a warm cache, to 1, 16 and 128 connections. */
import { type Bench, type Scenario, usageSample } from '../bench.ts';
import type { Subject } from '../peers/peer.ts';
import type { Sample } from '../results.ts';
import { checkRunning, checkWhole } from '../support/check.ts';
import { blobOf, blobPath, type Image, manifestPath } from '../support/content.ts';

const connectionCounts = [1, 16, 128] as const;

/** Twice: the first answer may come from the upstream. */
async function warm(bench: Bench, { origin }: Subject, image: Image): Promise<void> {
  for (let time = 0; time < 2; time++) {
    const report = await bench.client.get(`${origin}${blobPath(image)}`, { hash: 1, before: manifestPath(image) });
    checkWhole(report, blobOf(image));
  }
}

async function load(bench: Bench, subject: Subject, image: Image, connections: number): Promise<Sample> {
  const seconds = connections === 1 ? undefined : bench.scale.seconds;
  const url = `${subject.origin}${blobPath(image)}`;
  const { result, usage } = await bench.metered(subject, () =>
    bench.client.get(url, { connections, ...(seconds === undefined ? {} : { seconds }) }),
  );
  if (seconds === undefined) checkWhole(result, blobOf(image));
  else checkRunning(result);
  return { gbPerSecond: result.bytes / 1e9 / result.seconds, ...usageSample(usage, result.bytes) };
}

export const warmBlob: Scenario = {
  name: 'warm-blob',
  title: 'A blob of 1 GiB, warm',
  about:
    'One connection takes the blob once; with more, each takes it over and over for a fixed time. The bytes are ' +
    'hashed in an untimed run first; the timed client reads them into one buffer and counts.',
  prepare: (content, scale) => void content.image('large', [scale.largeBytes]),
  async run(bench) {
    const image = bench.content.image('large', [bench.scale.largeBytes]);
    const rows = connectionCounts.map((count) => ({
      id: `warm-blob-${count}`,
      title: `${count} connection${count === 1 ? '' : 's'}`,
      count,
    }));
    await using subjects = await bench.startAll(bench.peers, {}, (subject) => warm(bench, subject, image), rows);
    for (const row of rows) {
      const one = (subject: Subject): Promise<void> =>
        bench.sample(row, subject.peer, () => load(bench, subject, image, row.count));
      await bench.rounds(subjects.all, one, row.count === 128 ? [] : ['nginx']);
    }
  },
};
