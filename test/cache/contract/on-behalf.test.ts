/** Questions that have to wait are shared out by client address, whatever they are about. */
import { expect, it } from 'vitest';
import { buildImage } from '../../support/image-builder.ts';
import { answer } from '../../support/upstream/behaviour.ts';
import { type Asked, BlameRig } from '../support/blame-rig.ts';

const repositories = Array.from({ length: 9 }, (_, index) => `org/app${index}`);
const image = buildImage({ seed: 'shared', layers: [1000] });
const kinds: readonly (readonly [string, (repository: string) => Asked])[] = [
  ['manifests by tag', (repository) => ({ what: 'manifest', name: `${repository}:v1` })],
  ['HEADs of tags', (repository) => ({ what: 'head', name: `${repository}:v1` })],
  ['manifests by digest', (repository) => ({ what: 'manifest', name: `${repository}@${image.digest}` })],
  ['HEADs by digest', (repository) => ({ what: 'head', name: `${repository}@${image.digest}` })],
  ['lists of tags', (repository) => ({ what: 'tags', name: repository })],
  ['referrers', (repository) => ({ what: 'referrers', name: `${repository}@${image.digest}` })],
];

it.each(kinds)('%s: one that asks once is not behind all that another one asks', async (_, thing) => {
  await using rig = await BlameRig.start();
  for (const repository of [...repositories, 'org/mine']) rig.registry.content.add(repository, image, 'v1');
  // From now on they go one by one.
  rig.registry.on({}, { times: 1 }, answer(429));
  const first = rig.ask(thing('org/app0'));
  await rig.pass(250);
  const many = repositories.slice(1).map((repository) => rig.ask(thing(repository)));
  await rig.pass(0);
  const mine = rig.ask({ ...thing('org/mine'), client: '10.0.0.2' });
  const got = await rig.until(Promise.all([first, mine, ...many]));
  expect(got.map(({ status }) => status)).toEqual(Array.from(got, () => 200));
  const order = [...new Set(rig.registry.requests.map(({ repository }) => repository))];
  expect(order).toHaveLength(10);
  expect(order.indexOf('org/mine')).toBeLessThanOrEqual(2);
});
