/** What only lists of referrers can be wrong in: their type, their entries, their pages, their filter. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { eventually } from '../support/gate.ts';
import type { RawResponse } from '../support/raw-client.ts';
import { answer, type Behaviour, headers, json } from '../support/upstream/behaviour.ts';
import type { Match } from '../support/upstream/request.ts';
import { longestMemoryMs, outages } from './support/outages.ts';
import { addSigned, indexType, lists, repository, sbomType, type Signed, signatureType } from './support/signed.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const [unfiltered, filtered] = lists;
if (unfiltered === undefined || filtered === undefined) throw new Error('no lists');

/** As an upstream sends it, of any type. */
function sent(document: object, contentType: string | undefined = indexType): Behaviour {
  return { ...json(document), headers: { 'Content-Type': contentType } };
}

function manifestsIn({ body }: RawResponse): readonly unknown[] {
  return (JSON.parse(body.toString()) as { readonly manifests: readonly unknown[] }).manifests;
}

const descriptor = (mark: string, more: object = { artifactType: sbomType }): object => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(mark),
  size: 7,
  ...more,
});
const listOf = (...manifests: readonly unknown[]): object => ({ schemaVersion: 2, mediaType: indexType, manifests });

interface Scene extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly weir: WeirUnderTest;
  readonly signed: Signed;
  readonly ask: (query?: string) => Promise<RawResponse>;
}

async function scene(): Promise<Scene> {
  const clock = new FakeClock();
  const weir = await WeirUnderTest.start({ clock });
  const signed = addSigned(weir.upstream, 'v1');
  const ask = (query = ''): Promise<RawResponse> => weir.ask(`${repository}/referrers/${signed.image.digest}${query}`);
  return { clock, weir, signed, ask, [Symbol.asyncDispose]: () => weir[Symbol.asyncDispose]() };
}

describe('a list of referrers', () => {
  it.each([
    ['an empty list that is JSON and nothing more', sent({ manifests: [] }, 'application/json')],
    ['an empty list of no type', { ...sent({ manifests: [] }), headers: { 'Content-Type': undefined } }],
    ['an empty list that is plain text', sent({ manifests: [] }, 'text/plain')],
    ['an image manifest', sent({ mediaType: 'application/vnd.oci.image.manifest.v1+json', layers: [] }, 'text/plain')],
    ['an index without a list', sent({ schemaVersion: 2, mediaType: indexType })],
    ['a list that is an object', sent({ manifests: {} })],
    ['an entry that is null', sent(listOf(descriptor('a'), null))],
    ['an entry without a digest', sent(listOf(descriptor('a'), { size: 7 }))],
    ['an entry with a digest that is none', sent(listOf(descriptor('a', { digest: 'latest' })))],
    ['more than 8 MiB', sent(listOf(descriptor('a', { annotations: { a: 'x'.repeat(9 * 1024 * 1024) } })))],
  ])('that is %s is 502, cold and then stale, never an empty list', async (_, behaviour) => {
    await using cold = await scene();
    cold.weir.upstream.on({ kind: 'referrers' }, behaviour);
    const refused = await cold.ask();
    expect([refused.status, errorOf(refused).code]).toEqual([502, 'UNKNOWN']);
    await using warm = await scene();
    expect(manifestsIn(await warm.ask())).toHaveLength(2);
    warm.weir.upstream.on({ kind: 'referrers' }, behaviour);
    await warm.clock.advance(30_000);
    const stale = await warm.ask();
    expect([stale.status, manifestsIn(stale).length]).toEqual([200, 2]);
    expect(stale.headers['cache-status']).toContain('detail=stale');
  });

  it.each([
    ['an index with a parameter on its type', sent(listOf(), `${indexType}; charset=utf-8`)],
    ['an index by its own word', sent(listOf(), 'application/json')],
    ['null, as Go writes an empty list', sent({ manifests: null })],
    ['an index without a media type of its own', sent({ manifests: [] })],
  ])('that the upstream says is empty is empty: %s', async (_, behaviour) => {
    await using stage = await scene();
    stage.weir.upstream.on({ kind: 'referrers' }, behaviour);
    const empty = await stage.ask();
    expect([empty.status, empty.headers['content-type']]).toEqual([200, indexType]);
    expect(JSON.parse(empty.body.toString())).toEqual({ schemaVersion: 2, mediaType: indexType, manifests: [] });
  });

  it('gives each entry as the upstream gave it, those of a kind that weir does not know too', async () => {
    await using stage = await scene();
    const odd = [
      descriptor('a', { artifactType: 'x/y', annotations: { k: 'v' }, data: 'e30=', 'org.example': [1] }),
      { mediaType: 'x/y', digest: 'blake3:0123', size: '7' },
      { digest: digestOf('b') },
    ];
    stage.weir.upstream.on({ kind: 'referrers' }, sent(listOf(...odd)));
    expect(manifestsIn(await stage.ask())).toEqual(odd);
  });
});

describe('a list of referrers in pages', () => {
  const isSecond = ({ query }: { readonly query: URLSearchParams }): boolean => query.has('page');
  const second: Match = { kind: 'referrers', where: isSecond };

  /** Two pages of one each. */
  async function paged(): Promise<Scene> {
    const stage = await scene();
    const { upstream } = stage.weir;
    upstream.on({ kind: 'referrers' }, sent(listOf(descriptor('a'))), headers({ Link: '<?page=2>; rel="next"' }));
    upstream.on(second, sent(listOf(descriptor('b'))));
    return stage;
  }

  it('is one list', async () => {
    await using stage = await paged();
    expect(manifestsIn(await stage.ask())).toEqual([descriptor('a'), descriptor('b')]);
    expect(stage.weir.upstream.count({ kind: 'referrers' })).toBe(2);
  });

  it.each([
    ...outages.filter(({ name }) => name !== 'refuses connections'),
    { name: 'answers 404', status: 502, begin: onSecond(answer(404)) },
    { name: 'answers 405', status: 502, begin: onSecond(answer(405)) },
    { name: 'sends JSON of no type', status: 502, begin: onSecond(sent({ manifests: [] }, 'application/json')) },
    { name: 'leads back', status: 502, begin: onSecond(sent(listOf()), headers({ Link: '<?page=2>; rel="next"' })) },
    { name: 'leads nowhere', status: 502, begin: onSecond(sent(listOf()), headers({ Link: '</>; rel="next"' })) },
    {
      name: 'leads to no place',
      status: 502,
      begin: onSecond(sent(listOf()), headers({ Link: '<http://[>; rel=next' })),
    },
  ])('of which the second $name is an error, and never the first alone', async (outage) => {
    await using stage = await paged();
    const { weir, clock } = stage;
    await outage.begin(weir.upstream, second);
    let isOver = false;
    const asked = stage.ask().finally(() => (isOver = true));
    if ('isSilent' in outage && outage.isSilent === true) {
      await eventually(async () => {
        if (!isOver) await clock.advance(250);
        return isOver;
      });
    }
    const failed = await asked;
    expect([failed.status, typeof errorOf(failed).code]).toEqual([outage.status, 'string']);
    weir.upstream.on(second, sent(listOf(descriptor('b'))));
    await clock.advance(longestMemoryMs);
    expect(manifestsIn(await stage.ask())).toEqual([descriptor('a'), descriptor('b')]);
  });

  it('is given in pages, each with a link that leads to the next, and whole', async () => {
    await using stage = await scene();
    const many = Array.from({ length: 2500 }, (_, i) => descriptor(`m${i}`));
    stage.weir.upstream.on({ kind: 'referrers' }, sent(listOf(...many)));
    const seen: unknown[] = [];
    let pages = 0;
    for (let query: string | undefined = '?artifactType=application%2Fspdx%2Bjson'; query !== undefined; pages++) {
      const page = await stage.ask(query);
      expect([page.status, page.headers['content-type']]).toEqual([200, indexType]);
      expect(page.headers['oci-filters-applied']).toBe('artifactType');
      seen.push(...manifestsIn(page));
      const [, target] = /^<([^>]+)>; rel="next"$/.exec(page.headers['link'] ?? '') ?? [];
      query = target?.slice(target.indexOf('?'));
    }
    expect([pages, seen]).toEqual([3, many]);
    expect(stage.weir.upstream.count({ kind: 'referrers' })).toBe(1);
  });

  it('that a client wants none of is given whole: a page of none would look like no signatures', async () => {
    await using stage = await paged();
    expect(manifestsIn(await stage.ask('?n=0'))).toHaveLength(2);
  });

  function onSecond(...behaviours: readonly Behaviour[]): (upstream: WeirUnderTest['upstream'], match: Match) => void {
    return (upstream, match) => void upstream.on(match, ...behaviours);
  }
});

describe('a filtered list of referrers', () => {
  it('is the whole list, filtered by weir, and says so', async () => {
    await using stage = await scene();
    const { weir, signed } = stage;
    for (const [question, types] of [
      [unfiltered, [signatureType, sbomType]],
      [filtered, [sbomType]],
    ] as const) {
      const list = await weir.ask(question.path(signed.image));
      expect(question.held(list, signed)).toEqual(question.all(signed));
      expect(manifestsIn(list)).toMatchObject(types.map((artifactType) => ({ artifactType })));
      expect(list.headers['oci-filters-applied']).toBe(question === filtered ? 'artifactType' : undefined);
    }
    expect(weir.upstream.count({ kind: 'referrers' })).toBe(1);
    expect(weir.upstream.requests.at(-1)?.query.size).toBe(0);
  });

  it('is not filtered where the upstream has kept a type to itself: the client has to look', async () => {
    await using stage = await scene();
    const all = [descriptor('a'), descriptor('b', {})];
    stage.weir.upstream.on({ kind: 'referrers' }, sent(listOf(...all)));
    const list = await stage.ask('?artifactType=x%2Fy');
    expect([list.status, manifestsIn(list), list.headers['oci-filters-applied']]).toEqual([200, all, undefined]);
  });

  it.each(['?artifactType=', '?artifactType=x%2Fy&artifactType=application%2Fspdx%2Bjson'])(
    'is not filtered by %s, which names no single type',
    async (query) => {
      await using stage = await scene();
      const list = await stage.ask(query);
      expect([manifestsIn(list).length, list.headers['oci-filters-applied']]).toEqual([2, undefined]);
    },
  );
});
