/** Lists of tags in pages of weir's own size, whatever the client asks for and the upstream accepts. */
import { describe, expect, it } from 'vitest';
import { nextLink } from '../../../src/headers/link.ts';
import { errorOf, WeirUnderTest } from '../../conformance/support/weir.ts';
import { buildImage } from '../../support/image-builder.ts';
import { answer, body, encode, headers } from '../../support/upstream/behaviour.ts';
import type { RecordedRequest } from '../../support/upstream/request.ts';

const repository = 'org/many';
const image = buildImage({ layers: [100] });
const many = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `t${String(i).padStart(6, '0')}`);

const sizeOf = ({ query }: RecordedRequest): number => Number(query.get('n') ?? 0);

async function holding(count: number): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start();
  weir.upstream.content.add(repository, image, ...many(count));
  return weir;
}

/** All of it, as a client goes through it that follows links; and how many answers that took. */
async function listed(
  weir: WeirUnderTest,
  query: string,
): Promise<{ tags: readonly string[]; sizes: readonly number[] }> {
  const tags: string[] = [];
  const sizes: number[] = [];
  for (let path: string | undefined = `/v2/${repository}/tags/list${query}`; path !== undefined;) {
    const page = await weir.ask(path);
    expect(page.status).toBe(200);
    const own = (JSON.parse(page.body.toString()) as { readonly tags: readonly string[] }).tags;
    tags.push(...own);
    sizes.push(own.length);
    path = nextLink(page.headers['link'] ?? '');
  }
  return { tags, sizes };
}

describe('a list of tags', () => {
  it.each([405, 400])('whose upstream refuses n above 1,000 with %i is asked for in pages of that', async (status) => {
    await using weir = await holding(2_500);
    const refused = weir.upstream.on({ kind: 'tags', where: (asked) => sizeOf(asked) > 1000 }, answer(status));
    expect(await listed(weir, '?n=10000')).toEqual({ tags: many(2_500), sizes: [2_500] });
    expect(refused.hits).toBe(0);
    expect(weir.upstream.count({ kind: 'tags' })).toBe(3);
  });

  it.each([
    ['100 at once', 100],
    ['whatever it likes', 0],
  ])('is asked for %s where more is refused, which is remembered', async (_, most) => {
    await using weir = await holding(250);
    weir.upstream.pageSize = 100;
    weir.upstream.on({ kind: 'tags', where: (asked) => sizeOf(asked) > most && !asked.query.has('last') }, answer(405));
    expect((await listed(weir, '?n=10000')).tags).toEqual(many(250));
    weir.upstream.forgetRequests();
    expect((await listed(weir, '?n=9999')).tags).toEqual(many(250));
    const first = weir.upstream.requests.find(({ kind }) => kind === 'tags');
    expect(first === undefined ? undefined : sizeOf(first)).toBe(most);
  });

  it('that takes no `last` from clients is 405 for that page, as the upstream says, and well for the first', async () => {
    await using weir = await holding(50);
    weir.upstream.on({ kind: 'tags', where: ({ query }) => query.has('last') }, answer(405));
    const page = await weir.ask(`${repository}/tags/list?n=10&last=made-up`);
    expect([page.status, errorOf(page).code]).toEqual([405, 'UNSUPPORTED']);
    expect((await weir.ask(`${repository}/tags/list?n=50`)).status).toBe(200);
  });

  it('that comes compressed though nobody asked is read', async () => {
    await using weir = await holding(50);
    weir.upstream.on({ kind: 'tags' }, encode('gzip'));
    expect((await listed(weir, '')).tags).toEqual(many(50));
  });

  it('gives as many as the client wants out of smaller pages, and links where there are more', async () => {
    await using weir = await holding(50);
    // A registry that gives ten at first, whatever it is asked for.
    weir.upstream.on(
      { kind: 'tags', where: (asked) => sizeOf(asked) > 10 && !asked.query.has('last') },
      body(() => JSON.stringify({ name: repository, tags: many(10) })),
      headers({ Link: `</v2/${repository}/tags/list?n=10&last=t000009>; rel="next"` }),
    );
    expect((await listed(weir, '?n=30')).sizes).toEqual([30, 20]);
    expect((await listed(weir, '?n=7')).sizes).toEqual([7, 7, 7, 7, 7, 7, 7, 1]);
  });

  it('goes on at the beginning of an upstream page, since tokens lead nowhere else', async () => {
    await using weir = await holding(2_500);
    const pages = [many(1000), many(2000).slice(1000), many(2500).slice(2000)];
    weir.upstream.on({ kind: 'tags', where: ({ query }) => query.has('last') }, answer(405));
    const page = (at: number): void => {
      const next = at + 1 < pages.length ? { Link: `</v2/${repository}/tags/list?token=${at + 1}>; rel="next"` } : {};
      weir.upstream.on(
        { kind: 'tags', where: ({ query }) => (query.get('token') ?? '0') === String(at) && !query.has('last') },
        body(JSON.stringify({ name: repository, tags: pages[at] })),
        headers({ Link: undefined, ...next }),
      );
    };
    for (const at of pages.keys()) page(at);
    expect(await listed(weir, '?n=1500')).toEqual({ tags: many(2_500), sizes: [1000, 1000, 500] });
  });

  it('of more than 8 MiB comes to a client that gives no n, in pages', async () => {
    await using weir = await holding(12_500);
    // All at once, with blanks to make it large without a million tags.
    weir.upstream.on(
      { kind: 'tags', where: ({ query }) => !query.has('n') },
      body(() => `{"name":"${repository}",${' '.repeat(9 * 1024 * 1024)}"tags":${JSON.stringify(many(12_500))}}`),
    );
    const whole = await listed(weir, '');
    expect(whole.tags).toEqual(many(12_500));
    expect(whole.sizes).toEqual([10_000, 2_500]);
    expect(weir.upstream.count({ kind: 'tags', where: ({ query }) => !query.has('n') })).toBe(1);
  });
});
