/** What a catalog of version 1 did not write down is settled by what is configured at the first start. */
import { expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { type LegacyUpstream, settleLegacy } from '../../../src/store/recovery/legacy.ts';
import type { Origin } from '../../../src/store/contract/origin.ts';
import { SqliteCatalog } from '../../../src/store/metadata/sqlite.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { repositoryKey } from '../support/harness.ts';

const legacy: Origin = { kind: 'legacy' };
const alice: Origin = { kind: 'credential', place: 'basic alice' };
const both = digestOf('in both');
const open = digestOf('of anybody');
const [hub, lab] = [repositoryKey('a'), repositoryKey('a', 'lab.example')];
const anybody: LegacyUpstream = { origin: { kind: 'anonymous' }, isAll: false };
const member: LegacyUpstream = { origin: alice, isAll: true };

function before(): SqliteCatalog {
  const catalog = new SqliteCatalog({ path: ':memory:', clock: systemClock, logger: silentLogger });
  for (const digest of [both, open]) {
    catalog.recordSealed({ digest, sizeBytes: 1, allocatedBytes: 1, stamp: undefined });
    catalog.addLink(hub, digest, 'blob', { origin: legacy });
  }
  catalog.addLink(lab, both, 'blob', { origin: legacy });
  catalog.flush();
  return catalog;
}

it('links get the origin of what is configured now, and only what no credential has a link to is anybody’s', () => {
  const catalog = before();
  settleLegacy(catalog.database, (name) => (name === 'docker.io' ? anybody : member));
  catalog.database.flush();
  expect(catalog.provenance(open, 'docker.io')).toEqual({ isPublic: true, isOwn: true });
  expect(catalog.provenance(both, 'docker.io')).toEqual({ isPublic: false, isOwn: true });
  const origins = catalog.database.all('SELECT origin FROM links ORDER BY origin').map(({ origin }) => origin);
  expect(origins).toEqual(['anonymous', 'anonymous', 'credential basic alice']);
  catalog.close();
});

it('those of an upstream that is not configured rest on a credential that nobody has', () => {
  const catalog = before();
  settleLegacy(catalog.database, (name) => (name === 'docker.io' ? anybody : undefined));
  const origins = catalog.database.all('SELECT origin FROM links ORDER BY origin').map(({ origin }) => origin);
  expect(origins).toEqual(['anonymous', 'anonymous', 'credential unknown']);
  catalog.close();
});

it('happens once: what was settled stays when something else is configured', () => {
  const catalog = before();
  settleLegacy(catalog.database, () => member);
  settleLegacy(catalog.database, () => anybody);
  expect(catalog.database.all('SELECT DISTINCT origin FROM links')).toEqual([{ origin: 'credential basic alice' }]);
  expect(catalog.provenance(open, 'docker.io').isPublic).toBe(false);
  catalog.close();
});
