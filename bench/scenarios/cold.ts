/** One cold pull: a fresh cache, warmed up by another blob so that what is measured is not its start. */
import { type Bench, type Row, usageSample } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { Sample } from '../results.ts';
import { checkWhole } from '../support/check.ts';
import type { GetReport } from '../support/client.ts';
import { blobOf, blobPath, type Content, type Image, manifestPath } from '../support/content.ts';
import { cpuSettles } from '../support/proc.ts';
import type { Route } from '../support/upstream.ts';

/** `large` where the upstream is fast, so that compilers settle; `small` where it would take seconds. */
export type WarmUp = 'large' | 'small';

/** What every peer fetches before a cold measurement. */
export function warmUpImage(content: Content, warmUp: WarmUp = 'large'): Image {
  return content.image(`warm-up-${warmUp}`, [warmUp === 'large' ? 32_000_000 : 1_000_000]);
}

/** Starts a fresh peer, lets it fetch something else, and hands it over; it is stopped and removed afterwards. */
export async function withCold<T>(
  bench: Bench,
  peer: Peer,
  route: Route,
  action: (subject: Subject) => Promise<T>,
  { warmUp = 'large', maxBytes }: { readonly warmUp?: WarmUp | undefined; readonly maxBytes?: number } = {},
): Promise<T> {
  const subject = await bench.start(peer, { route, ...(maxBytes === undefined ? {} : { maxBytes }) });
  try {
    if (subject.pid !== undefined) {
      const image = warmUpImage(bench.content, warmUp);
      const url = `${subject.origin}${blobPath(image)}`;
      checkWhole(await bench.client.get(url, { hash: 1, before: manifestPath(image) }), blobOf(image));
      await cpuSettles(subject.pid);
    }
    return await action(subject);
  } finally {
    await bench.finish(subject);
  }
}

/** What `ask` costs on a fresh peer: time of the slowest client, and what the upstream gave. */
export async function coldSample(
  bench: Bench,
  peer: Peer,
  route: Route,
  image: Image,
  ask: (subject: Subject) => Promise<GetReport>,
  warmUp: WarmUp = 'large',
): Promise<Sample> {
  const measure = async (subject: Subject): Promise<Sample> => {
    const mark = bench.upstream.mark();
    const { result, usage } = await bench.metered(subject, () => ask(subject));
    const blob = blobOf(image);
    const upstreamBytes = await bench.upstream.bytesSince(mark, blob.digest);
    return {
      seconds: result.seconds,
      // Behind a limit the time says it all.
      ...(warmUp === 'large' ? { gbPerSecond: result.bytes / 1e9 / result.seconds } : {}),
      firstByteMs: Math.max(...result.downloads.map(({ firstByteSeconds }) => firstByteSeconds)) * 1000,
      ...usageSample(usage, result.bytes),
      upstreamTimes: upstreamBytes / blob.sizeBytes,
    };
  };
  return withCold(bench, peer, route, measure, { warmUp });
}

export interface Clients {
  readonly connections?: number;
  /** How many of them hash. */
  readonly hash?: number;
  readonly warmUp?: WarmUp;
  /** See Bench.rounds. */
  readonly compared?: readonly string[];
}

/** A row in which some connections pull one blob at once, and every one is checked. */
export async function coldRow(
  bench: Bench,
  row: Row,
  route: Route,
  image: Image,
  { connections = 1, hash = 1, warmUp, compared }: Clients = {},
): Promise<void> {
  const ask = async ({ origin }: Subject): Promise<GetReport> => {
    const options = { connections, hash, before: manifestPath(image) };
    const report = await bench.client.get(`${origin}${blobPath(image)}`, options);
    checkWhole(report, blobOf(image));
    return report;
  };
  await bench.rounds(
    bench.peers,
    (peer) => bench.sample(row, peer, () => coldSample(bench, peer, route, image, ask, warmUp)),
    compared,
  );
}
