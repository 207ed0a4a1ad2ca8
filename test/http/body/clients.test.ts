/** Who a request is said to come from: for all that is asked of the cache, by any way. */
import { describe, expect, it } from 'vitest';
import { ClientAddresses } from '../../../src/lib/sharing/client-address.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { ask } from '../support/ask.ts';
import { type Front, startFront } from '../support/front.ts';

const subject = digestOf('subject');
const forwarded = { 'X-Forwarded-For': '203.0.113.5, 198.51.100.9' };

async function clientsOfAll(front: Front): Promise<readonly (string | undefined)[]> {
  const paths = ['manifests/1', `blobs/${subject}`, 'tags/list', `referrers/${subject}`];
  for (const path of paths) await ask(front.port, `/v2/ghcr.io/org/app/${path}`, { headers: forwarded });
  const { manifestQueries, blobQueries, tagsQueries, referrersQueries } = front.cache;
  return [...manifestQueries, ...blobQueries, ...tagsQueries, ...referrersQueries].map(({ client }) => client);
}

describe('the client of a question', () => {
  it('is the peer, whatever it says, where no proxy is trusted', async () => {
    await using front = await startFront();
    expect(await clientsOfAll(front)).toEqual(Array.from({ length: 4 }, () => '127.0.0.1'));
  });

  it('is what a trusted proxy says', async () => {
    await using front = await startFront({ clients: new ClientAddresses([{ address: '127.0.0.0', prefix: 8 }]) });
    expect(await clientsOfAll(front)).toEqual(Array.from({ length: 4 }, () => '198.51.100.9'));
  });
});
