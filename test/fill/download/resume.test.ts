/** A transfer that breaks off and whose continuing questions fail for a while. */
import { expect, it } from 'vitest';
import { randomBytesOf } from '../../support/byte-source.ts';
import { cut } from '../../support/upstream/behaviour.ts';
import { BlameRig } from '../../cache/support/blame-rig.ts';

const bytes = randomBytesOf(400_000, 'continued');

/** A blob whose first transfer breaks off, and whose next `failures` questions are reset before a head. */
async function broken(failures: number) {
  const rig = await BlameRig.start();
  const digest = rig.registry.content.addBlob('org/app', bytes);
  rig.registry.on({ kind: 'blob' }, { times: failures }, cut('before', 'rst'));
  rig.registry.on({ kind: 'blob' }, { times: 1 }, cut(360_000));
  return { rig, name: `org/app@${digest}` };
}

it('is continued when what is remembered of its question has passed, for one question each time', async () => {
  const { rig, name } = await broken(3);
  await using _rig = rig;
  const got = await rig.until(rig.ask({ what: 'blob', name }));
  expect([got.status, got.bytes]).toEqual([200, bytes.length]);
  // 5, 10 and 20 s.
  expect(got.seconds).toBeGreaterThanOrEqual(35);
  expect(got.seconds).toBeLessThan(45);
  expect(rig.registry.requests).toHaveLength(5);
});

it('ends when no byte has come for a minute', async () => {
  const { rig, name } = await broken(100);
  await using _rig = rig;
  const got = await rig.until(rig.ask({ what: 'blob', name }), 200_000);
  expect(got.status).toBe('broken');
  expect(got.seconds).toBeGreaterThan(30);
  expect(got.seconds).toBeLessThan(61);
  expect(rig.registry.requests.length).toBeLessThanOrEqual(6);
});
