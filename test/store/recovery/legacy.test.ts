/** What a catalog of version 1 did not write down is settled by what is configured at the first start. */
import { expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { type LegacyUpstream, settleLegacy } from '../../../src/store/recovery/legacy.ts';
import type { Origin } from '../../../src/store/contract/origin.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
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

function before(): Metadata {
  const metadata = new Metadata({ path: ':memory:', clock: systemClock, logger: silentLogger });
  for (const digest of [both, open]) {
    metadata.blobs.record({ digest, sizeBytes: 1, allocatedBytes: 1, stamp: undefined });
    metadata.links.add(hub, digest, 'blob', { origin: legacy });
  }
  metadata.links.add(lab, both, 'blob', { origin: legacy });
  metadata.flush();
  return metadata;
}

it('links get the origin of what is configured now, and only what no credential has a link to is anybody’s', () => {
  const metadata = before();
  settleLegacy(metadata.database, (name) => (name === 'docker.io' ? anybody : member));
  metadata.database.flush();
  expect(metadata.provenance.get(open, 'docker.io')).toEqual({ isPublic: true, isOwn: true });
  expect(metadata.provenance.get(both, 'docker.io')).toEqual({ isPublic: false, isOwn: true });
  const origins = metadata.database.all('SELECT origin FROM links ORDER BY origin').map(({ origin }) => origin);
  expect(origins).toEqual(['anonymous', 'anonymous', 'credential basic alice']);
  metadata.close();
});

it('those of an upstream that is not configured rest on a credential that nobody has', () => {
  const metadata = before();
  settleLegacy(metadata.database, (name) => (name === 'docker.io' ? anybody : undefined));
  const origins = metadata.database.all('SELECT origin FROM links ORDER BY origin').map(({ origin }) => origin);
  expect(origins).toEqual(['anonymous', 'anonymous', 'credential unknown']);
  metadata.close();
});

it('happens once: what was settled stays when something else is configured', () => {
  const metadata = before();
  settleLegacy(metadata.database, () => member);
  settleLegacy(metadata.database, () => anybody);
  expect(metadata.database.all('SELECT DISTINCT origin FROM links')).toEqual([{ origin: 'credential basic alice' }]);
  expect(metadata.provenance.get(open, 'docker.io').isPublic).toBe(false);
  metadata.close();
});
