import { describe, expect, it } from 'vitest';
import { type Clause, evaluateGoals, verdictOf } from '../../bench/report/goals.ts';
import { goalTable } from '../../bench/report/markdown.ts';
import { resultsOf } from './results-of.ts';

function clause(change: Partial<Clause>): Clause {
  return { text: '', value: 1, limit: 1, isAtLeast: true, unit: 'x', ...change };
}

function goalNamed(word: string, rows: Parameters<typeof resultsOf>[0]): readonly Clause[] {
  const goal = evaluateGoals(resultsOf(rows)).find(({ scenario }) => scenario.includes(word));
  if (goal === undefined) throw new Error(`no goal names ${word}`);
  return goal.clauses;
}

describe('a goal', () => {
  it('is met at its limit, in both directions', () => {
    expect(verdictOf(clause({}))).toBe('met');
    expect(verdictOf(clause({ isAtLeast: false }))).toBe('met');
  });

  it('says by how much it is missed', () => {
    expect(verdictOf(clause({ value: 1.5, limit: 2 }))).toBe('missed by 25 %');
    expect(verdictOf(clause({ value: 1.05, limit: 1, isAtLeast: false }))).toBe('missed by 5.0 %');
  });

  it('is not met by what was not measured', () => {
    expect(verdictOf(clause({ value: undefined }))).toBe('not measured');
    expect(verdictOf(clause({ value: Number.NaN }))).toBe('not measured');
    expect(evaluateGoals(resultsOf({})).flatMap(({ clauses }) => clauses.map(verdictOf))).not.toContain('met');
  });

  it('compares rates with the best peer, and names it', () => {
    const cells = { weir: { gbPerSecond: 0.6 }, nginx: { gbPerSecond: 0.4 }, zot: { gbPerSecond: 0.5 } };
    const [best] = goalNamed('plain HTTP', { 'cold-blob-plain': cells });
    expect(best?.value).toBeCloseTo(1.2);
    expect(best?.text).toBe('zot');
  });

  it('compares times the other way round', () => {
    const cells = { weir: { seconds: 4 }, nginx: { seconds: 24 }, direct: { seconds: 20 } };
    const clauses = goalNamed('limited to 12.5', { 'limited-12': cells });
    expect(clauses.map(({ value }) => value)).toEqual([6, 5]);
    expect(clauses.map(verdictOf)).toEqual(['met', 'met']);
  });

  it('takes the better figure of a registry with its log and without', () => {
    const [byTag] = goalNamed('access log on', {
      'manifest-tag-log': { weir: { perSecond: 30_000 }, zot: { perSecond: 5000 } },
      'manifest-tag-nolog': { weir: { perSecond: 50_000 }, zot: { perSecond: 10_000 } },
    });
    expect(byTag?.value).toBe(3);
  });

  it('gives a peer with wrong bytes no number', () => {
    const results = resultsOf({ 'cold-blob-plain': { weir: { gbPerSecond: 1 }, nginx: { gbPerSecond: 9 } } });
    const row = results.scenarios[0]?.rows[0];
    const wrong = {
      ...results,
      scenarios: [
        {
          ...results.scenarios[0],
          rows: [
            {
              ...row,
              cells: { ...row?.cells, nginx: { samples: [{ gbPerSecond: 9 }], problem: 'wrong: other bytes' } },
            },
          ],
        },
      ],
    } as typeof results;
    const goal = evaluateGoals(wrong).find(({ scenario }) => scenario.includes('plain HTTP'));
    expect(goal?.clauses[0]?.value).toBeUndefined();
  });

  it('lets a herd take as long as one client or a hundred warm blobs', () => {
    const clauses = goalNamed('herd', {
      'herd-1': { weir: { seconds: 2 } },
      'herd-100': { weir: { seconds: 6, upstreamTimes: 1 } },
      'warm-blob-16': { weir: { gbPerSecond: 4 } },
    });
    // 100 blobs of 200 MB at 4 GB/s take five seconds.
    expect(clauses.map(({ value }) => value)).toEqual([1, 1.2]);
    expect(clauses.map(verdictOf)).toEqual(['met', 'missed by 9.1 %']);
  });

  it('is a line of the table for each comparison', () => {
    const clauses = evaluateGoals(resultsOf({})).flatMap((goal) => goal.clauses);
    expect(clauses.length).toBeGreaterThan(20);
    expect(goalTable(resultsOf({})).split('\n')).toHaveLength(clauses.length + 2);
  });
});
