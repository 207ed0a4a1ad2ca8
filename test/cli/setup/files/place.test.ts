import { expect, it } from 'vitest';
import { plan } from '../../../../src/cli/setup/files/place.ts';

it('finds a root that does not exist yet and lies directly below /', async () => {
  const root = '/weir-test-no-such-root';
  const content = { kind: 'own', text: '# Written by weir setup\n' } as const;
  const { path, before } = await plan({ path: '/etc/containers/weir.conf', content }, root);
  expect(path).toBe(`${root}/etc/containers/weir.conf`);
  expect(before).toBeUndefined();
});
