/** Upstreams of which a random part is sick: each repository-and-kind is healthy to a fifth at least, or sick altogether. */
import fc from 'fast-check';
import type { Sickness, Thing } from './sick-upstream.ts';

const kinds = ['manifests', 'blobs', 'lists', 'referrers'] as const;
const sicknesses: readonly Sickness[] = ['serverError', 'unreachable', 'badResponse', 'timeout'];

const group = fc.record({
  repository: fc.constantFrom('a/a', 'a/b', 'b/a', 'b/b', 'c', 'd'),
  kind: fc.constantFrom(...kinds),
  isAllSick: fc.boolean(),
  things: fc.array(
    fc.record({
      sickness: fc.constantFrom(...sicknesses),
      isSick: fc.boolean(),
      client: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'),
      atMs: fc.integer({ min: 0, max: 5_000 }),
      retryMs: fc.constantFrom(500, 1_000, 3_000),
    }),
    { minLength: 1, maxLength: 10 },
  ),
});

/** Up to 50 different questions. */
export const sickUpstream: fc.Arbitrary<readonly Thing[]> = fc
  .uniqueArray(group, { minLength: 1, maxLength: 5, selector: ({ repository, kind }) => `${repository} ${kind}` })
  .map((groups) =>
    groups.flatMap(({ repository, kind, isAllSick, things }) =>
      things.map(({ sickness, isSick, ...rest }, index): Thing => {
        const isWell = !isAllSick && (index % 5 === 0 || !isSick);
        return { repository, kind, subject: `${index}`, sickness: isWell ? undefined : sickness, ...rest };
      }),
    ),
  );
