/** What the dearest manifests cost the thread that decides everything: CPU of one step, of which nobody is served in between. */
import { describe, expect, it } from 'vitest';
import { maxManifestBytes, readManifestInSteps } from '../../src/oci/manifest.ts';

const digestOf = (index: number): string => `sha256:${index.toString(16).padStart(64, '0')}`;
const list = <T>(length: number, item: (index: number) => T): T[] => Array.from({ length }, (_, index) => item(index));
const layer = (index: number, more: object = {}): object => ({
  mediaType: 'a/b',
  digest: digestOf(index),
  size: 1,
  ...more,
});
const config = layer(0);
const beside = (items: string): string => `{"layers":[],"config":${JSON.stringify(config)},"x":[${items}]}`;

const dear: readonly (readonly [string, string])[] = [
  ['layers', JSON.stringify({ config, layers: list(16_000, (index) => layer(index)) })],
  [
    'an index with platforms',
    JSON.stringify({ manifests: list(13_000, (index) => layer(index, { platform: { os: `${index}` } })) }),
  ],
  [
    'annotations',
    JSON.stringify({ config, layers: [], annotations: Object.fromEntries(list(65_000, (index) => [`k${index}`, ''])) }),
  ],
  [
    'layers with annotations',
    JSON.stringify({ config, layers: list(10_000, (index) => layer(index, { annotations: { title: 'x' } })) }),
  ],
  ['names that all differ', beside(list(32_000, (index) => `{"a${index}":{"b${index}":0}}`).join(','))],
  ['as many names as there may be', beside(list(16_000, (index) => `{"a${index}":0}`).join(','))],
  [
    'shapes that all differ',
    beside(list(32_000, (index) => `{"a${index % 181}":0,"b${Math.floor(index / 181)}":0}`).join(',')),
  ],
  ['numbers', beside(list(180_000, () => '1.7976931348623157e308').join(','))],
  ['one text', `{"layers":[],"x":"${'a'.repeat(4_190_000)}"}`],
  ['escapes', `{"layers":[],"x":"${'\\u00e9'.repeat(690_000)}"}`],
  ['brackets', beside(list(8000, () => '['.repeat(28) + ']'.repeat(28)).join(','))],
];

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Of one reading. */
async function longestStep(bytes: Uint8Array): Promise<number> {
  let [since, longest] = [cpuMs(), 0];
  const lap = (): void => {
    const now = cpuMs();
    longest = Math.max(longest, now - since);
    since = now;
  };
  await readManifestInSteps(bytes, async () => lap());
  lap();
  return longest;
}

describe('manifests that are made to be dear', () => {
  it.each(dear)('%s', async (_name, text) => {
    const bytes = Buffer.from(text);
    expect(bytes.byteLength).toBeLessThanOrEqual(maxManifestBytes);
    // Others use the processor as well, so the least of five is what it costs.
    let least = Infinity;
    for (let round = 0; round < 5; round++) least = Math.min(least, await longestStep(bytes));
    console.log(`${_name}: ${least.toFixed(0)} ms in one step`);
    expect(least).toBeLessThan(100);
  });
});
