import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { MemoryStore } from '../../../src/store/memory/store.ts';
import { SqliteCatalog } from '../../../src/store/metadata/sqlite.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { rejects, storeContract, type StoreUnderTest } from '../contract.ts';
import { content } from '../support/harness.ts';

async function open(maxBytes?: number): Promise<StoreUnderTest> {
  const clock = new FakeClock();
  const catalog = new SqliteCatalog({ path: ':memory:', clock, logger: silentLogger });
  const now = (): number => clock.now();
  const store = new MemoryStore({ catalog, now, ...(maxBytes === undefined ? {} : { maxBytes }) });
  return {
    store,
    catalog,
    clock,
    plant: async (digest, bytes) => store.plant(digest, bytes),
    dump: async () => JSON.stringify({ usage: store.usage(), partials: store.partials() }),
    [Symbol.asyncDispose]: async () => {
      await store.close();
      catalog.close();
    },
  };
}

storeContract('the memory store', open);

describe('the memory store', () => {
  it('is full at its limit, and takes bytes again when some are gone', async () => {
    await using under = await open(1500);
    const [one, other] = [content(), content()];
    await under.store.put(one.digest, one.bytes);
    await rejects(under.store.put(other.digest, other.bytes), 'full');
    expect(under.store.usage()).toMatchObject({ blobs: 1, ingestBytes: 0 });
    await under.store.remove(one.digest);
    await under.store.put(other.digest, other.bytes);
  });
});
