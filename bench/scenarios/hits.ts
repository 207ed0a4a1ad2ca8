/** Small hits at a steady beat: what a client notices of everything else that goes on. */
import type { Bench } from '../bench.ts';
import type { Subject } from '../peers/peer.ts';
import { checkWhole } from '../support/check.ts';
import { blobOf, blobPath, type Content, type Image, manifestPath } from '../support/content.ts';

const hotBlobs = 8;
const requestsPerSecond = 400;

export function hotImage(content: Content): Image {
  return content.image(
    'hot',
    Array.from({ length: hotBlobs }, (_, index) => 65_536 + index),
  );
}

function hitUrls({ origin }: Subject, image: Image): readonly string[] {
  return image.layers.map((_, index) => `${origin}${blobPath(image, index)}`);
}

/** Brings the hot blobs into the cache, checked, and lets it answer a few. */
export async function warmHits(bench: Bench, subject: Subject): Promise<void> {
  const image = hotImage(bench.content);
  for (const [index, url] of hitUrls(subject, image).entries()) {
    checkWhole(await bench.client.get(url, { hash: 1, before: manifestPath(image) }), blobOf(image, index));
  }
  await bench.client.beat(hitUrls(subject, image), requestsPerSecond, 1);
}

export async function hitRow(
  bench: Bench,
  subject: Subject,
): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
  const urls = hitUrls(subject, hotImage(bench.content));
  const { failed, error, p50Ms, p99Ms } = await bench.client.beat(urls, requestsPerSecond, bench.scale.seconds);
  if (failed > 0) throw new Error(error);
  return { p50Ms, p99Ms };
}
