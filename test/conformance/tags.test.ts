/** distribution-spec 1.1.1, "Listing Tags". */
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import type { RawResponse } from '../support/raw-client.ts';
import { body, headers } from '../support/upstream/behaviour.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const name = 'conformance/repo1';
const image = buildImage({ seed: 'tags' });
const tags = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

async function seeded(): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  weir.upstream.content.add(name, image, ...tags);
  return weir;
}

function tagsIn({ body: bytes }: RawResponse): readonly string[] {
  return (JSON.parse(bytes.toString()) as { readonly tags: readonly string[] }).tags;
}

/** Path and query of the next page, from a Link as RFC 5988 has it. */
function nextOf({ headers: given }: RawResponse): string | undefined {
  return /^<(\/v2\/[^>]+)>; rel="next"$/.exec(given['link'] ?? '')?.[1];
}

describe('a list of tags', () => {
  it('of a repository that exists is 200 and JSON, with the name that was asked for and all tags in order', async () => {
    await using weir = await seeded();
    const answer = await weir.ask(`${name}/tags/list`);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
    expect(JSON.parse(answer.body.toString())).toEqual({ name, tags });
    expect(answer.headers['link']).toBeUndefined();
  });

  it('may be empty, and is never null', async () => {
    await using weir = await WeirUnderTest.start();
    weir.upstream.content.add(name, image);
    for (const rule of [undefined, body(`{"name":"${name}","tags":null}`)]) {
      if (rule !== undefined) weir.upstream.on({ kind: 'tags' }, rule);
      expect((await weir.ask(`${name}/tags/list?last=${rule === undefined ? '' : 'x'}`)).body.toString()).toBe(
        `{"name":"${name}","tags":[]}`,
      );
    }
  });

  it('is in the order in which the upstream lists them: weir sorts no page, as the next one begins where that one ends', async () => {
    await using weir = await seeded();
    weir.upstream.on({ kind: 'tags' }, body(`{"name":"${name}","tags":["A","a","B","b"]}`));
    expect(tagsIn(await weir.ask(`${name}/tags/list`))).toEqual(['A', 'a', 'B', 'b']);
  });

  it('of a repository that does not exist is 404 NAME_UNKNOWN', async () => {
    await using weir = await seeded();
    const answer = await weir.ask('no/such/tags/list');
    expect([answer.status, errorOf(answer).code]).toEqual([404, 'NAME_UNKNOWN']);
  });

  it('that the upstream cuts into pages is passed on in pages, each with a link to the next', async () => {
    await using weir = await seeded();
    weir.upstream.pageSize = 3;
    const seen: string[] = [];
    let pages = 0;
    for (let path: string | undefined = `/v2/${name}/tags/list`; path !== undefined; pages++) {
      const page = await weir.ask(path);
      seen.push(...tagsIn(page));
      path = nextOf(page);
    }
    expect([pages, seen]).toEqual([3, tags]);
  });
});

describe('n', () => {
  it.each([1, 2, 6])('of %i gives so many from the beginning, in order, and a link while there are more', async (n) => {
    await using weir = await seeded();
    const page = await weir.ask(`${name}/tags/list?n=${n}`);
    expect([page.status, tagsIn(page)]).toEqual([200, tags.slice(0, n)]);
    expect(nextOf(page)).toBe(`/v2/${name}/tags/list?n=${n}&last=${tags[n - 1]}`);
    expect(tagsIn(await weir.ask(nextOf(page) ?? ''))).toEqual(tags.slice(n, 2 * n));
  });

  it.each([7, 8, 1000, 20_000])('of %i, as many as there are or more, gives all and no link', async (n) => {
    await using weir = await seeded();
    const page = await weir.ask(`${name}/tags/list?n=${n}`);
    expect([tagsIn(page), page.headers['link']]).toEqual([tags, undefined]);
  });

  it('of 0 gives an empty list and no link', async () => {
    await using weir = await seeded();
    const page = await weir.ask(`${name}/tags/list?n=0`);
    expect([page.status, tagsIn(page), page.headers['link']]).toEqual([200, [], undefined]);
  });

  it('counts also where the upstream does not know it', async () => {
    await using weir = await seeded();
    weir.upstream.on({ kind: 'tags' }, body(JSON.stringify({ name, tags })), headers({ Link: undefined }));
    const seen: string[] = [];
    for (let path: string | undefined = `/v2/${name}/tags/list?n=3`; path !== undefined;) {
      const page = await weir.ask(path);
      expect(tagsIn(page).length).toBeLessThanOrEqual(3);
      seen.push(...tagsIn(page));
      path = nextOf(page);
    }
    expect(seen).toEqual(tags);
  });

  it.each(['-1', '1.5', 'x'])('of %s is 400, and the upstream is not asked', async (n) => {
    await using weir = await seeded();
    expect((await weir.ask(`${name}/tags/list?n=${n}`)).status).toBe(400);
    expect(weir.upstream.requests).toEqual([]);
  });
});

describe('last', () => {
  it('begins after that tag, with n and without, also when that tag does not exist', async () => {
    await using weir = await seeded();
    expect(tagsIn(await weir.ask(`${name}/tags/list?n=2&last=b`))).toEqual(['c', 'd']);
    expect(tagsIn(await weir.ask(`${name}/tags/list?last=e`))).toEqual(['f', 'g']);
    expect(tagsIn(await weir.ask(`${name}/tags/list?n=2&last=bb`))).toEqual(['c', 'd']);
    expect(tagsIn(await weir.ask(`${name}/tags/list?last=g`))).toEqual([]);
  });

  it('is a tag in every link that weir gives, also where the upstream goes on by a token of its own', async () => {
    await using weir = await seeded();
    const first = body(JSON.stringify({ name, tags: ['a', 'b'] }));
    weir.upstream.on({ kind: 'tags' }, first, headers({ Link: `</v2/${name}/tags/list?next=1>; rel="next"` }));
    const isSecond = ({ query }: { readonly query: URLSearchParams }): boolean => query.get('next') === '1';
    weir.upstream.on({ kind: 'tags', where: isSecond }, body(JSON.stringify({ name, tags: ['c'] })));
    const page = await weir.ask(`${name}/tags/list?n=2`);
    expect(nextOf(page)).toBe(`/v2/${name}/tags/list?n=2&last=b`);
    expect(tagsIn(await weir.ask(nextOf(page) ?? ''))).toEqual(['c']);
  });
});
