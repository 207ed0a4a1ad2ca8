/**
 * What http does with a cache, it does with one on the other side of a port: the suites run once more with one in between.
 * And what only a port can get wrong.
 */
import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { RawConnection } from '../../support/raw-client.ts';
import { eventually } from '../../support/gate.ts';
import { ask } from '../support/ask.ts';
import { bytesOf, FakeBlob, patternSource } from '../support/fake-cache.ts';
import { FileBlob, loadSendfile } from '../support/file-blob.ts';
import { type Front, remote, startFront } from '../support/front.ts';

remote.isOn = true;

describe('behind a port', async () => {
  await import('./blobs.test.ts');
  await import('./manifests.test.ts');
  await import('../request/errors.test.ts');
  await import('./lists.test.ts');
  await import('./v2.test.ts');
});

function held(front: Front): number {
  if (front.host === undefined) throw new Error('this front is not behind a port');
  return front.host.held;
}

describe('a port', () => {
  it('gives everything back when clients leave, before the answer, before the first byte and in the middle', async () => {
    await using front = await startFront();
    const blob = FakeBlob.pending(patternSource(3_000_000));
    front.cache.blobs.set(`docker.io/library/a@${blob.digest}`, blob);
    const leaveWhen = async (isReady: () => boolean, prepare: () => void): Promise<void> => {
      using connection = await RawConnection.open(front.origin);
      connection.send(`/v2/library/a/blobs/${blob.digest}`);
      await eventually(isReady);
      connection.close('rst');
      await eventually(() => front.ended.length > 0);
      prepare();
      await eventually(() => held(front) === 0 && blob.openViews === 0 && blob.openReaders === 0);
      front.cache.blobQueries.length = 0;
    };
    const answer = Promise.withResolvers<void>();
    front.cache.before = () => answer.promise;
    await leaveWhen(
      () => front.cache.blobQueries.length === 1,
      () => answer.resolve(),
    );
    await leaveWhen(
      () => blob.waiting === 1,
      () => blob.wake(),
    );
    blob.advance(1_000_000);
    await leaveWhen(
      () => blob.readBytes > 0,
      () => undefined,
    );
    expect([blob.viewCloses, blob.readerCloses]).toEqual([3, 1]);
  });

  it('keeps no reader that failed before anybody knew of it', async () => {
    await using front = await startFront();
    const blob = FakeBlob.pending(patternSource(100_000));
    front.cache.blobs.set(`docker.io/library/a@${blob.digest}`, blob);
    blob.failsAtOnce = new BrokenBodyError('the blob has another size than was announced');
    expect((await ask(front.port, `/v2/library/a/blobs/${blob.digest}`)).status).toBe(502);
    await eventually(() => blob.openViews === 0);
    expect([held(front), blob.openReaders]).toEqual([0, 0]);
  });

  it('sends a growing file as it grows, and never past what the owner has promised', async () => {
    await using file = await FileBlob.create(patternSource(6_000_000), true);
    const { blob } = file;
    await using front = await startFront({ sendfile: await loadSendfile() });
    front.cache.blobs.set(`docker.io/library/a@${blob.digest}`, blob);
    using connection = await RawConnection.open(front.origin);
    connection.send(`/v2/library/a/blobs/${blob.digest}`);
    blob.advance(100_000);
    const head = await connection.head();
    let seen = 0;
    const body = connection.body(head, 'GET', { keep: true, onBytes: (total) => (seen = total) });
    for (const end of [100_000, 2_500_000, 5_999_999]) {
      blob.advance(end);
      await eventually(() => seen === end);
    }
    blob.prove();
    expect((await body).body.equals(bytesOf(blob.source))).toBe(true);
    // By descriptors of its own: nothing was read through the port.
    expect([blob.readBytes, blob.sentBytes]).toEqual([0, 6_000_000]);
  });

  it('its end frees what the thread held, and no client of that thread hangs', async () => {
    await using front = await startFront();
    const blob = FakeBlob.pending(patternSource(3_000_000));
    front.cache.blobs.set(`docker.io/library/a@${blob.digest}`, blob);
    using connection = await RawConnection.open(front.origin);
    connection.send(`/v2/library/a/blobs/${blob.digest}`);
    blob.advance(1_000_000);
    await connection.head();
    await eventually(() => held(front) === 2);
    front.host?.[Symbol.dispose]();
    await eventually(() => blob.openViews === 0 && blob.openReaders === 0);
  });

  it('answers what was leased without asking the owner again', async () => {
    await using front = await startFront();
    const bytes = Buffer.from('{}');
    let peeks = 0;
    front.cache.peek = (query) => {
      peeks++;
      const bytesFor = query.method === 'get' ? bytes : undefined;
      return Promise.resolve({
        digest: digestOf(bytes),
        mediaType: 'application/vnd.oci.image.index.v1+json',
        sizeBytes: 2,
        bytes: bytesFor,
        outcome: { kind: 'hit' },
        stamp: front.changes.stamp('x'),
        holdsMs: 30_000,
        freshMs: undefined,
      });
    };
    const headers = { Connection: 'keep-alive' };
    for (let i = 0; i < 3; i++) expect((await ask(front.port, '/v2/a/manifests/1', { headers })).text).toBe('{}');
    front.changes.bump('x');
    expect((await ask(front.port, '/v2/a/manifests/1', { headers })).text).toBe('{}');
    expect(peeks).toBe(2);
  });
});
