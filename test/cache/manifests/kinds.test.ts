/** A digest is a manifest in a repository, or a blob, and each is found by its own route alone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const image = imageManifest('image');
const bytes = new TextEncoder().encode('{"architecture":"amd64"}');
const config = { digest: digestOf(bytes), bytes };

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(async () => {
  upstream = new FakeUpstream();
  upstream.push(repo, image);
  rig = new PolicyRig([upstream]);
  await rig.store.put(config.digest, config.bytes);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

describe('manifests and blobs', () => {
  it('are kept apart: what is linked as a blob is not served as a manifest', async () => {
    rig.metadata.links.add(rig.key(repo), config.digest, 'blob', { origin: byAnybody });
    await expect(rig.get(`${repo}@${config.digest}`)).rejects.toMatchObject({ kind: 'notFound' });
    expect(upstream.calls).toEqual([`GET ${repo}@${config.digest}`]);
  });

  it('are kept apart: what is linked as a manifest is no blob', async () => {
    await rig.get(`${repo}@${image.digest}`);
    expect(rig.rights.isLinked(rig.key(repo), image.digest, 'blob')).toBe(false);
  });

  it.each(['unreachable', 'breakerOpen', 'offline'] as const)(
    'are told apart during an outage (%s), so that a client that asks for the manifest first goes on to the blob',
    async (kind) => {
      upstream.mood = kind;
      // Unknown here: nobody can say.
      await expect(rig.head(`${repo}@${config.digest}`)).rejects.toMatchObject({ kind });
      rig.metadata.links.add(rig.key(repo), config.digest, 'blob', { origin: byAnybody });
      await expect(rig.head(`${repo}@${config.digest}`)).rejects.toMatchObject({
        kind: 'manifestUnknown',
        cause: { kind },
      });
      await expect(rig.get(`${repo}@${config.digest}`)).rejects.toMatchObject({ kind: 'manifestUnknown' });
    },
  );
});
