/** distribution-spec 1.1.1, "Push" and "Content Management": weir reads only, and says so in the words that clients know. */
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const image = buildImage({ seed: 'unsupported' });
const blob = image.blobs[0]?.digest ?? '';

async function seeded(): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  weir.upstream.content.add(name, image, 'v1');
  return weir;
}

describe('what weir does not do', () => {
  it.each([
    ['POST', `${name}/blobs/uploads/`],
    ['POST', `${name}/blobs/uploads/?digest=${blob}`],
    ['POST', `${name}/blobs/uploads/?mount=${blob}&from=conformance/repo2`],
    ['PATCH', `${name}/blobs/uploads/1`],
    ['PUT', `${name}/blobs/uploads/1?digest=${blob}`],
    ['PUT', `${name}/manifests/v1`],
    ['PUT', `${name}/manifests/${image.digest}`],
  ])('a push, %s %s, is 405 UNSUPPORTED before its body, and names what is allowed', async (method, path) => {
    await using weir = await seeded();
    const answer = await weir.ask(path, { method, body: 'x' });
    expect([answer.status, errorOf(answer).code, answer.headers['allow']]).toEqual([405, 'UNSUPPORTED', 'GET, HEAD']);
    expect(weir.upstream.requests).toEqual([]);
  });

  it('the state of an upload is 404 BLOB_UPLOAD_UNKNOWN: there is none', async () => {
    await using weir = await seeded();
    const answer = await weir.ask(`${name}/blobs/uploads/1`);
    expect([answer.status, errorOf(answer).code]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });

  it.each([`manifests/v1`, `manifests/${image.digest}`, `blobs/${blob}`])(
    'deleting %s is 405 UNSUPPORTED, and it is still there',
    async (path) => {
      await using weir = await seeded();
      const answer = await weir.ask(`${name}/${path}`, { method: 'DELETE' });
      expect([answer.status, errorOf(answer).code]).toEqual([405, 'UNSUPPORTED']);
      expect((await weir.ask(`${name}/${path}`)).status).toBe(200);
    },
  );

  it('an endpoint that the specification does not have is 404 UNSUPPORTED', async () => {
    await using weir = await seeded();
    for (const path of ['/v2/_oci/ext/discover', `${name}/nothing`, '/v2/nothing', '/v1/']) {
      const answer = await weir.ask(path);
      expect([path, answer.status]).toEqual([path, 404]);
    }
  });
});
