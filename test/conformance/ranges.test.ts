/** distribution-spec 1.1.1, "Pulling blobs": the Range header as RFC 9110, section 14, has it. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { range } from '../support/upstream/behaviour.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const bytes = randomBytesOf(2048, 'ranges');
const path = `${name}/blobs/${digestOf(bytes)}`;

/** Cold, warm, and behind an upstream that knows no ranges. */
const states = ['cold', 'warm', 'plain'] as const;

async function seeded(state: (typeof states)[number]): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  weir.upstream.content.addBlob(name, bytes);
  if (state === 'warm') await weir.ask(path);
  if (state === 'plain') weir.upstream.on({ kind: 'blob' }, range('ignore'));
  return weir;
}

describe('a range of a blob of 2048 bytes', () => {
  it.each([
    ['500-1499', 500, 1500],
    ['500-', 500, 2048],
    ['-500', 1548, 2048],
    ['2000-5000', 2000, 2048],
    ['0-0', 0, 1],
    ['0-2047', 0, 2048],
    ['-5000', 0, 2048],
  ])('%s is 206 with these bytes and where they lie', async (text, start, end) => {
    for (const state of states) {
      await using weir = await seeded(state);
      const answer = await weir.ask(path, { headers: { Range: `bytes=${text}` } });
      expect([state, answer.status]).toEqual([state, 206]);
      expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/2048`);
      expect(answer.headers['content-length']).toBe(String(end - start));
      expect(answer.headers['docker-content-digest']).toBe(digestOf(bytes));
      expect(answer.body.equals(bytes.subarray(start, end))).toBe(true);
    }
  });

  it.each(['5000-10000', '2048-', '500-0', '-0', 'x-y'])('%s is 416, and says how long the blob is', async (text) => {
    for (const state of states) {
      await using weir = await seeded(state);
      const answer = await weir.ask(path, { headers: { Range: `bytes=${text}` } });
      expect([state, answer.status, errorOf(answer).code]).toEqual([state, 416, 'RANGE_INVALID']);
      expect(answer.headers['content-range']).toMatch(/^bytes \*\/(?:2048|\*)$/);
    }
  });

  it('in another unit is ignored', async () => {
    await using weir = await seeded('cold');
    const answer = await weir.ask(path, { headers: { Range: 'lines=1-2' } });
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
  });

  it('is ignored for HEAD, which says that ranges are served', async () => {
    await using weir = await seeded('cold');
    const head = await weir.ask(path, { method: 'HEAD', headers: { Range: 'bytes=5-9' } });
    expect([head.status, head.headers['content-length'], head.headers['accept-ranges']]).toEqual([
      200,
      '2048',
      'bytes',
    ]);
  });

  it('of several parts is multipart/byteranges, in the order of the request', async () => {
    for (const state of states) {
      await using weir = await seeded(state);
      const answer = await weir.ask(path, { headers: { Range: 'bytes=100-109,0-4,-3' } });
      expect([state, answer.status]).toEqual([state, 206]);
      expect(answer.headers['content-type']).toMatch(/^multipart\/byteranges; boundary=/);
      const found = [...answer.body.toString('latin1').matchAll(/Content-Range: bytes (\S+)\r\n(?:.+\r\n)*\r\n/gi)];
      expect(found.map(([, place]) => place)).toEqual(['100-109/2048', '0-4/2048', '2045-2047/2048']);
      for (const [i, start, end] of [
        [0, 100, 110],
        [1, 0, 5],
        [2, 2045, 2048],
      ] as const) {
        const at = (found[i]?.index ?? 0) + (found[i]?.[0].length ?? 0);
        expect(answer.body.subarray(at, at + end - start).equals(bytes.subarray(start, end))).toBe(true);
      }
    }
  });

  it('counts only for the version that If-Range names', async () => {
    await using weir = await seeded('warm');
    for (const [tag, status] of [
      [`"${digestOf(bytes)}"`, 206],
      [`"${digestOf('other')}"`, 200],
    ] as const) {
      const answer = await weir.ask(path, { headers: { Range: 'bytes=0-9', 'If-Range': tag } });
      expect(answer.status).toBe(status);
    }
  });

  it('continues a download that broke off, to the same bytes', async () => {
    await using weir = await seeded('cold');
    const first = await weir.ask(path, { headers: { Range: 'bytes=0-999' } });
    const rest = await weir.ask(path, { headers: { Range: 'bytes=1000-' } });
    expect(digestOf(Buffer.concat([first.body, rest.body]))).toBe(digestOf(bytes));
  });
});
