/** Results of a run that never was. */
import type { Results, Sample } from '../../bench/results.ts';

const kinds = { weir: 'weir', nginx: 'proxy', dist3: 'registry', zot: 'registry', direct: 'direct' } as const;

/** One sample for each peer of each row. */
export function resultsOf(rows: Readonly<Record<string, Readonly<Record<string, Sample>>>>): Results {
  return {
    machine: { processor: 'a processor', cores: '2' },
    peers: Object.fromEntries(
      Object.entries(kinds).map(([name, kind]) => [name, { title: name, version: '1.2.3', kind }]),
    ),
    missing: ['Angos (not on the PATH)'],
    scenarios: [
      {
        name: 'everything',
        title: 'Everything',
        about: 'What was done.',
        at: '2026-01-02T03:04:05.000Z',
        seconds: 1,
        isQuick: false,
        rows: Object.entries(rows).map(([id, peers]) => ({
          id,
          title: `row ${id}`,
          cells: Object.fromEntries(Object.entries(peers).map(([peer, sample]) => [peer, { samples: [sample] }])),
        })),
      },
    ],
  };
}
