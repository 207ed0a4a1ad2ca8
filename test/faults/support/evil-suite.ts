/** The tests of one table of misbehaviours: what clients saw, what was stored, and that it passes. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../support/gate.ts';
import type { Misbehaviour } from './evil-cells.ts';
import { type Matrix, type MatrixOptions, type Result, runMatrix } from './evil-matrix.ts';

export interface SuiteOptions extends MatrixOptions {
  readonly misbehaviours: readonly Misbehaviour[];
  /** How many cells there are: none may get lost. */
  readonly cells: number;
  /** What must be in no log line and no request to the thief. */
  readonly secrets?: readonly string[];
}

/** What a client is told while an origin is left alone or a 404 is remembered; and what its question met is remembered too. */
const whileClosed = new Set(['503', '404']);

/** What clients see while the right bytes come, or without that any come. */
const mayBeStored = new Set(['right', 'unsized', 'claim']);

export function describeMatrix(title: string, { misbehaviours, cells, secrets = [], ...options }: SuiteOptions): void {
  describe(title, () => {
    let matrix: Matrix;
    let log: string;
    beforeAll(async () => {
      matrix = await runMatrix(misbehaviours, options);
      log = readFileSync(matrix.weir.logFile, 'utf8');
    }, 240_000);
    afterAll(() => matrix?.[Symbol.asyncDispose]());

    const ofRow = (name: string): readonly Result[] => {
      const results = matrix.results.filter(({ cell }) => cell.misbehaviour.name === name);
      expect(results.length).toBeGreaterThan(0);
      return results;
    };

    it.each(misbehaviours.map(({ name }) => name))('%s: no client gets wrong bytes as right ones', (name) => {
      const seen = ofRow(name).map(({ cell, evil }) => {
        const isExpected = cell.expected.includes(evil.verdict);
        const body = evil.response?.body.subarray(0, 200).toString() ?? '';
        return { column: cell.column, verdict: isExpected ? cell.expected.join('|') : `${evil.verdict} ${body}` };
      });
      expect(seen).toEqual(
        ofRow(name).map(({ cell: { column, expected } }) => ({ column, verdict: expected.join('|') })),
      );
    });

    it('everything was tried', () => {
      expect(new Set(misbehaviours.map(({ name }) => name)).size).toBe(misbehaviours.length);
      expect(matrix.results).toHaveLength(cells);
    });

    it('a well upstream is asked again and its answer is right, at once unless it has to be left alone for a while', () => {
      const wrong = matrix.results.flatMap(({ cell, evil, recovery, askedWhileEvil, askedInAll }) => {
        const isCached = evil.verdict === 'right' && cell.column !== 'head';
        const isPatient = recovery.slice(0, -1).every((word) => whileClosed.has(word) || word === evil.verdict);
        const isAsked = isCached || askedInAll > askedWhileEvil;
        if (recovery.at(-1) === 'right' && isPatient && isAsked) return [];
        return [
          `${cell.misbehaviour.name} × ${cell.column}: ${recovery.join(', ')}; asked ${askedInAll - askedWhileEvil}`,
        ];
      });
      expect(wrong).toEqual([]);
      const atOnce = matrix.results.filter(({ recovery }) => recovery.length === 1);
      expect(atOnce.length).toBeGreaterThan(cells / 2);
    });

    it('nothing but right bytes is visible in the store, and everything right is', async () => {
      const directory = join(matrix.weir.root, 'blobs', 'sha256');
      const served = matrix.results.map(({ cell }) => cell.digest.slice('sha256:'.length));
      // Clients have the last bytes of a blob before it is durable.
      await eventually(
        () => readdirSync(directory).length >= served.length,
        () => `${readdirSync(directory).length} of ${served.length} in the store`,
      );
      const names = readdirSync(directory);
      const wrong = names.filter(
        (name) =>
          createHash('sha256')
            .update(readFileSync(join(directory, name)))
            .digest('hex') !== name,
      );
      expect(wrong).toEqual([]);
      expect(names.toSorted()).toEqual(served.toSorted());
    });

    it('what never came right was not visible before the upstream was well', () => {
      const neverRight = matrix.results.filter(({ cell }) => !cell.expected.some((word) => mayBeStored.has(word)));
      expect(neverRight.length).toBeGreaterThan(cells / 4);
      const early = neverRight.filter(({ cell }) => matrix.visibleAfterEvil.has(cell.digest));
      expect(early.map(({ cell }) => `${cell.misbehaviour.name} × ${cell.column}`)).toEqual([]);
    });

    it('the daemon is the same process, with nothing left over and no error in its log', async () => {
      expect(matrix.weir.ingests()).toEqual([]);
      expect(await matrix.weir.metric('weir_fills_running')).toBe(0);
      const bad = log.split('\n').filter((line) => !line.startsWith('{') && line !== '');
      expect(bad).toEqual([]);
      const lines = log
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { level: string });
      expect(lines.length).toBeGreaterThan(cells);
      expect(lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
      expect(await matrix.weir.stop()).toBe(0);
    });

    // Only some matrices have any, or plant credentials.
    if (misbehaviours.some((row) => row.expect.includes('broken'))) {
      it('clients get what has come, and hear by its end that it is not right: bodies break off', () => {
        const may = matrix.results.filter(({ cell }) => cell.expected.includes('broken'));
        const did = may.filter(({ evil }) => evil.verdict === 'broken');
        expect(did.length).toBeGreaterThan(may.length / 2);
      });
    }
    if (secrets.length === 0) return;
    it('no credential goes elsewhere or into the log', () => {
      const asked = [...matrix.thief.requests];
      expect(asked.length).toBeGreaterThan(10);
      expect(asked.filter(({ headers }) => 'authorization' in headers || 'cookie' in headers)).toEqual([]);
      const text = JSON.stringify(asked.map(({ rawHeaders, target }) => [rawHeaders, target])) + log;
      expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
    });
  });
}
