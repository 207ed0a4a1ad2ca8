import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Gate } from '../../support/gate.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const names = ['3.18', '3.19', '3.20', 'edge', 'latest'];

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(() => {
  upstream = new FakeUpstream();
  for (const text of names) upstream.push(repo, imageManifest(text), text);
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

describe('tags/list', () => {
  it('is asked for once in 30 s, however many clients there are', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const answers = Array.from({ length: 20 }, () => rig.tags(repo));
    await gate.arrived();
    gate.open();
    for (const { tags } of await Promise.all(answers)) expect(tags).toEqual(names);
    await rig.clock.advance(29_999);
    expect((await rig.tags(repo)).outcome).toEqual({ kind: 'hit', ttlSeconds: 1 });
    expect(upstream.calls).toHaveLength(1);
    upstream.push(repo, imageManifest('new'), 'new');
    await rig.clock.advance(1);
    expect((await rig.tags(repo)).tags).toContain('new');
  });

  it('goes through page by page, as the client asks', async () => {
    expect(await rig.tags(repo, { n: 2 })).toMatchObject({ tags: ['3.18', '3.19'], next: { n: 2, last: '3.19' } });
    expect(await rig.tags(repo, { n: 2, last: '3.19' })).toMatchObject({ tags: ['3.20', 'edge'] });
    expect(await rig.tags(repo, { n: 2, last: 'edge' })).toMatchObject({ tags: ['latest'], next: undefined });
    expect(upstream.calls).toEqual([`TAGS ${repo} 2,`, `TAGS ${repo} 2,3.19`, `TAGS ${repo} 2,edge`]);
  });

  it('never mixes pages: n and last are part of the key', async () => {
    for (let i = 0; i < 2; i++) {
      expect((await rig.tags(repo, { n: 1 })).tags).toEqual(['3.18']);
      expect((await rig.tags(repo, { n: 2 })).tags).toEqual(['3.18', '3.19']);
      expect((await rig.tags(repo, { n: 1, last: '3.18' })).tags).toEqual(['3.19']);
      expect((await rig.tags(repo)).tags).toEqual(names);
    }
    expect(upstream.calls).toHaveLength(4);
  });

  it('of nothing is empty and has no next page, but the repository must be there', async () => {
    expect(await rig.tags(repo, { n: 0 })).toMatchObject({ tags: [], next: undefined });
    await expect(rig.tags('no/such', { n: 0 })).rejects.toMatchObject({ kind: 'notFound', code: 'NAME_UNKNOWN' });
  });

  it('asks for no more than a thousand at once', async () => {
    await rig.tags(repo, { n: 2 ** 40 });
    expect(upstream.calls).toEqual([`TAGS ${repo} 1000,`]);
  });

  it('follows an upstream that continues with a token of its own', async () => {
    const link = `/v2/${repo}/tags/list?next_page=opaque`;
    upstream.tagsBody = '{"tags":["a","b"]}';
    upstream.tagLinks.set('2,', link);
    const first = await rig.tags(repo, { n: 2 });
    expect(first.next).toEqual({ n: 2, last: 'b' });
    upstream.tagsBody = '{"tags":["c"]}';
    expect((await rig.tags(repo, { n: 2, last: 'b' })).tags).toEqual(['c']);
    expect(upstream.calls).toEqual([`TAGS ${repo} 2,`, `TAGS ${repo} ${link}`]);
  });

  it('does not end early where the token was forgotten in a restart, or a page is empty', async () => {
    const [second, third] = ['two', 'three'].map((token) => `/v2/${repo}/tags/list?next_page=${token}`);
    // Takes no `last`, as quay.io.
    upstream.tagPages.set('2,', '{"tags":["a","b"]}').set('2,b', '{"tags":["a","b"]}');
    upstream.tagPages.set(`${second}`, '{"tags":[]}').set(`${third}`, '{"tags":["c"]}');
    for (const page of ['2,', '2,b']) upstream.tagLinks.set(page, `${second}`);
    upstream.tagLinks.set(`${second}`, `${third}`);
    expect((await rig.tags(repo, { n: 2 })).next).toEqual({ n: 2, last: 'b' });
    rig.restart();
    expect(await rig.tags(repo, { n: 2, last: 'b' })).toMatchObject({ tags: ['c'], next: undefined });
    expect(upstream.calls).toEqual(['2,', '2,b', second, third].map((page) => `TAGS ${repo} ${page}`));
  });

  it('of empty pages that lead in circles ends, and one that goes on for ever is refused', async () => {
    const link = `/v2/${repo}/tags/list?next_page=`;
    upstream.tagsBody = '{"tags":[]}';
    upstream.tagLinks.set('2,', `${link}0`).set(`${link}0`, `${link}0`);
    expect(await rig.tags(repo, { n: 2 })).toMatchObject({ tags: [], next: undefined });
    expect(upstream.takeCalls()).toHaveLength(2);
    for (let i = 0; i < 100; i++) upstream.tagLinks.set(`${link}${i}`, `${link}${i + 1}`);
    upstream.push('library/other', imageManifest('x'), 'x');
    await expect(rig.tags('library/other', { n: 2 })).rejects.toMatchObject({
      name: 'UpstreamError',
      kind: 'badResponse',
    });
    expect(upstream.calls).toHaveLength(64);
  });

  it('that is no list of tags is refused and counted', async () => {
    upstream.tagsBody = '<html>';
    await expect(rig.tags(repo)).rejects.toMatchObject({ name: 'UpstreamError', kind: 'badResponse' });
    expect(rig.rejected).toEqual(['bad-tags-page']);
  });

  it('of an unknown repository is 404, remembered for five seconds', async () => {
    for (let i = 0; i < 3; i++) await expect(rig.tags('no/such')).rejects.toMatchObject({ kind: 'notFound' });
    expect(upstream.calls).toHaveLength(1);
    await rig.clock.advance(5_000);
    upstream.push('no/such', imageManifest('x'), 'x');
    expect((await rig.tags('no/such')).tags).toEqual(['x']);
  });

  it('follows 404 and 403: what was listed before is not served any more, during an outage either', async () => {
    for (const mood of ['notFound', 'denied'] as const) {
      await rig.tags(repo);
      await rig.clock.advance(30_000);
      upstream.mood = mood;
      await expect(rig.tags(repo)).rejects.toMatchObject({ kind: mood });
      await rig.clock.advance(5_000);
      upstream.mood = 'unreachable';
      // What it said last: that there is none. That it is not for us is no word about the list.
      const last = mood === 'notFound' ? { kind: mood, outcome: { detail: 'stale' } } : { kind: 'unreachable' };
      await expect(rig.tags(repo)).rejects.toMatchObject(last);
      upstream.mood = undefined;
      await rig.clock.advance(5_000);
    }
  });

  it('is stale across a restart for as long as tags are', async () => {
    await rig.tags(repo, { n: 2 });
    await rig.clock.advance(30 * 86_400_000 + 30_000);
    upstream.mood = 'timeout';
    rig.restart();
    expect(await rig.tags(repo, { n: 2 })).toMatchObject({ tags: ['3.18', '3.19'], outcome: { detail: 'stale' } });
    await rig.clock.advance(1);
    rig.restart();
    await expect(rig.tags(repo, { n: 2 })).rejects.toMatchObject({ kind: 'timeout' });
  });

  it('of 200,000 is given, and one of 20,000 is there after a restart', async () => {
    const many = Array.from({ length: 200_000 }, (_, index) => `tag-${index}`);
    upstream.push('library/other', imageManifest('other'), '1');
    upstream.tagsBody = JSON.stringify({ tags: many });
    expect((await rig.tags(repo)).tags).toEqual(many);
    upstream.tagsBody = JSON.stringify({ tags: many.slice(0, 20_000) });
    expect((await rig.tags('library/other')).tags).toHaveLength(20_000);
    await rig.clock.advance(30_000);
    upstream.mood = 'timeout';
    rig.restart();
    const kept = await rig.tags('library/other');
    expect([kept.tags, kept.outcome.detail]).toEqual([many.slice(0, 20_000), 'stale']);
  });

  it('fills a bounded number of rows, whatever pages clients ask for', async () => {
    const put = vi.spyOn(rig.metadata.lists, 'put');
    for (let i = 0; i < 200; i++) {
      const last = `x${i}`;
      const page = await rig.tags(repo, { last });
      expect(page.tags).toEqual(names.filter((text) => text > last));
    }
    const rows = new Set(put.mock.calls.map(([key]) => key));
    expect(rows.size).toBeGreaterThan(1);
    expect(rows.size).toBeLessThanOrEqual(16);
    // The rows are shared; what one of them holds is never taken for another page.
    rig.restart();
    upstream.mood = 'unreachable';
    const served = [];
    for (let i = 0; i < 200; i++) {
      const page = await rig.tags(repo, { last: `x${i}` }).catch(() => undefined);
      if (page === undefined) continue;
      expect(page.tags).toEqual(names.filter((text) => text > `x${i}`));
      served.push(i);
    }
    expect(served.length).toBe(rows.size);
  });

  it('of two upstreams never mixes', async () => {
    const other = new FakeUpstream('ghcr.io');
    other.push(repo, imageManifest('other'), 'other');
    using both = new PolicyRig([upstream, other]);
    for (let i = 0; i < 2; i++) {
      expect((await both.tags(repo)).tags).toEqual(names);
      expect((await both.tags(repo, { upstream: 'ghcr.io' })).tags).toEqual(['other']);
    }
  });
});

describe('tags/list offline', () => {
  beforeEach(() => {
    upstream.mood = 'offline';
  });

  it('of a repository whose list was never fetched is what was pulled by tag, page by page', async () => {
    upstream.mood = undefined;
    for (const text of ['3.18', '3.20', 'edge']) await rig.get(`${repo}:${text}`);
    upstream.mood = 'offline';
    expect(await rig.tags(repo)).toMatchObject({
      tags: ['3.18', '3.20', 'edge'],
      next: undefined,
      outcome: { kind: 'hit', detail: 'offline' },
    });
    expect(await rig.tags(repo, { n: 2 })).toMatchObject({ tags: ['3.18', '3.20'], next: { n: 2, last: '3.20' } });
    expect(await rig.tags(repo, { n: 2, last: '3.20' })).toMatchObject({ tags: ['edge'], next: undefined });
    expect(await rig.tags(repo, { n: 0 })).toMatchObject({ tags: [], next: undefined });
  });

  it('does not name tags that the upstream has denied since', async () => {
    upstream.mood = undefined;
    for (const text of ['3.18', '3.20']) await rig.get(`${repo}:${text}`);
    await rig.clock.advance(60_000);
    upstream.mood = 'denied';
    await expect(rig.get(`${repo}:3.20`)).rejects.toMatchObject({ kind: 'denied' });
    upstream.mood = 'offline';
    expect((await rig.tags(repo)).tags).toEqual(['3.18']);
    upstream.mood = 'denied';
    await expect(rig.get(`${repo}:3.18`)).rejects.toMatchObject({ kind: 'denied' });
    upstream.mood = 'offline';
    await expect(rig.tags(repo)).rejects.toMatchObject({ kind: 'offline' });
  });

  it('of a repository that weir has nothing of is an error', async () => {
    await expect(rig.tags(repo)).rejects.toMatchObject({ name: 'UpstreamError', kind: 'offline' });
  });

  it('of a repository whose list was fetched is that list, whatever its age', async () => {
    upstream.mood = undefined;
    await rig.tags(repo);
    upstream.mood = 'offline';
    await rig.clock.advance(3650 * 86_400_000);
    rig.restart();
    expect(await rig.tags(repo)).toMatchObject({ tags: names, outcome: { kind: 'hit', detail: 'offline' } });
  });
});
