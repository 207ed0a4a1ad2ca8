/** distribution-spec 1.1.1, "Listing Referrers" and "Unavailable Referrers API". Failures: signatures*.test.ts. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { buildArtifact, buildImage, buildIndex } from '../support/image-builder.ts';
import type { RawResponse } from '../support/raw-client.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const indexType = 'application/vnd.oci.image.index.v1+json';
const image = buildImage({ seed: 'subject' });
const sbom = buildArtifact({
  seed: 's',
  subject: image,
  artifactType: 'application/spdx+json',
  annotations: { k: 'v' },
});
const signature = buildArtifact({ seed: 'g', subject: image, artifactType: 'application/x.signature' });
const missing = digestOf('a subject that is not there');

async function seeded(): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  weir.upstream.content.add(name, image, 'v1');
  for (const referrer of [sbom, signature]) weir.upstream.content.add(name, referrer);
  return weir;
}

interface Entry {
  readonly digest: string;
  readonly artifactType?: string;
  readonly annotations?: object;
}

function entriesIn({ body }: RawResponse): readonly Entry[] {
  return (JSON.parse(body.toString()) as { readonly manifests: readonly Entry[] }).manifests;
}

describe('referrers', () => {
  it('are 200 and an index of exactly that type, with every descriptor as the upstream gives it', async () => {
    await using weir = await seeded();
    const answer = await weir.ask(`${name}/referrers/${image.digest}`);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, indexType]);
    const document = JSON.parse(answer.body.toString()) as object;
    expect(document).toMatchObject({ schemaVersion: 2, mediaType: indexType });
    const direct = await fetch(`${weir.upstream.url}/v2/${name}/referrers/${image.digest}`);
    expect(document).toEqual(await direct.json());
    expect(
      entriesIn(answer)
        .map(({ digest }) => digest)
        .toSorted(),
    ).toEqual([sbom.digest, signature.digest].toSorted());
  });

  it('have the artifactType and the annotations of their manifests', async () => {
    await using weir = await seeded();
    const found = entriesIn(await weir.ask(`${name}/referrers/${image.digest}`)).find(
      ({ digest }) => digest === sbom.digest,
    );
    expect(found).toMatchObject({
      artifactType: 'application/spdx+json',
      annotations: { k: 'v' },
      size: sbom.bytes.length,
    });
  });

  it('of a subject that does not exist, or that has none, are an empty index', async () => {
    await using weir = await seeded();
    for (const subject of [missing, sbom.digest]) {
      const answer = await weir.ask(`${name}/referrers/${subject}`);
      expect([answer.status, answer.headers['content-type']]).toEqual([200, indexType]);
      expect(JSON.parse(answer.body.toString())).toEqual({ schemaVersion: 2, mediaType: indexType, manifests: [] });
    }
  });

  it('of a subject that does not exist yet are listed', async () => {
    await using weir = await seeded();
    const later = buildImage({ seed: 'not pushed' });
    weir.upstream.content.add(name, buildArtifact({ seed: 'early', subject: later }));
    expect(entriesIn(await weir.ask(`${name}/referrers/${later.digest}`))).toHaveLength(1);
  });

  it('may be indexes, with an artifactType or without one', async () => {
    await using weir = await seeded();
    const index = buildIndex([image]);
    const document = { ...(JSON.parse(index.bytes.toString()) as object), subject: index.descriptor };
    for (const artifactType of ['x/y', undefined]) {
      weir.upstream.content.addManifest(name, JSON.stringify({ ...document, artifactType }), indexType);
    }
    const entries = entriesIn(await weir.ask(`${name}/referrers/${index.digest}`));
    expect(entries.map((entry) => entry.artifactType)).toEqual(['x/y', undefined]);
    expect(entriesIn(await weir.ask(`${name}/referrers/${index.digest}?artifactType=x%2Fy`))).toHaveLength(1);
  });

  it.each(['sha256:baddigeststring', 'latest', `sha256:${'0'.repeat(63)}`])(
    'of %s are 400 DIGEST_INVALID',
    async (bad) => {
      await using weir = await seeded();
      const answer = await weir.ask(`${name}/referrers/${bad}`);
      expect([answer.status, errorOf(answer).code]).toEqual([400, 'DIGEST_INVALID']);
      expect(weir.upstream.requests).toEqual([]);
    },
  );

  it('are filtered by artifactType, and the answer says so', async () => {
    await using weir = await seeded();
    for (const [type, expected] of [
      ['application/spdx+json', [sbom.digest]],
      ['application/x.signature', [signature.digest]],
      ['application/none', []],
    ] as const) {
      const answer = await weir.ask(`${name}/referrers/${image.digest}?artifactType=${encodeURIComponent(type)}`);
      expect(answer.headers['oci-filters-applied']).toBe('artifactType');
      expect(entriesIn(answer).map(({ digest }) => digest)).toEqual(expected);
    }
    const all = await weir.ask(`${name}/referrers/${image.digest}`);
    expect(all.headers['oci-filters-applied']).toBeUndefined();
  });

  it('in pages have a link to the next, and each page other descriptors', async () => {
    await using weir = await seeded();
    const seen: string[] = [];
    for (let path: string | undefined = `/v2/${name}/referrers/${image.digest}?n=1`; path !== undefined;) {
      const page = await weir.ask(path);
      expect(page.headers['content-type']).toBe(indexType);
      seen.push(...entriesIn(page).map(({ digest }) => digest));
      path = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(page.headers['link'] ?? '')?.[1];
    }
    expect(seen.toSorted()).toEqual([sbom.digest, signature.digest].toSorted());
  });

  it('of an upstream without the API are 404, and the tag of the referrers tag schema is passed on as it is', async () => {
    await using weir = await seeded();
    weir.upstream.hasReferrersApi = false;
    const fallback = buildIndex([sbom, signature]);
    weir.upstream.content.add(name, fallback, image.digest.replace(':', '-'));
    const refused = await weir.ask(`${name}/referrers/${image.digest}`);
    expect([refused.status, errorOf(refused).code]).toEqual([404, 'UNSUPPORTED']);
    const tag = await weir.ask(`${name}/manifests/${image.digest.replace(':', '-')}`);
    expect([tag.status, tag.headers['content-type'], tag.sha256]).toEqual([200, indexType, fallback.digest]);
  });
});
