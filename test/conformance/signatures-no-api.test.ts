/**
 * Registries that say in odd ways that they have no referrers API: GAR and registry.k8s.io lead to a page to log in, GHCR to
 * github.com, Quay says 400 of a subject that it does not know. Clients look at the fallback tag after 404 and after little
 * else.
 */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-clock.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { answer, type Behaviour, html, redirect } from '../support/upstream/behaviour.ts';
import { addSigned, lists, tags } from './support/signed.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const freshMs = 30_000;
const [list] = lists;
const fallback = tags.at(-1);
if (list === undefined || fallback === undefined) throw new Error('no questions');

interface Way {
  readonly name: string;
  /** What the registry answers. `site` is another host, which answers with `there`. */
  readonly says: (site: string) => Behaviour;
  readonly there?: Behaviour;
}

const ways: readonly Way[] = [
  { name: '200 and a page', says: () => html(200) },
  { name: '400', says: () => answer(400) },
  { name: '400 MANIFEST_INVALID', says: () => answer(400, { body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' }) },
  { name: '406', says: () => answer(406) },
  { name: 'a way to a page elsewhere', says: (site) => redirect(`${site}/login`, 307), there: html(200) },
  { name: 'a way to 404 elsewhere', says: (site) => redirect(`${site}/org/app`, 303), there: answer(404) },
  { name: 'a way to 429 elsewhere', says: (site) => redirect(`${site}/org/app`, 303), there: answer(429) },
  { name: 'a way to 403 elsewhere', says: (site) => redirect(`${site}/org/app`, 303), there: answer(403) },
];

describe.each(ways)('an upstream whose answer to /referrers/ is $name', ({ says, there }) => {
  it('has no such API: 404 UNSUPPORTED, remembered, and the fallback tag is there', async () => {
    const clock = new FakeClock();
    await using site = await ScriptedUpstream.start();
    if (there !== undefined) site.on({}, there);
    await using weir = await WeirUnderTest.start({ clock });
    const signed = addSigned(weir.upstream, 'v1');
    weir.upstream.on({ kind: 'referrers' }, says(site.url));
    for (let i = 0; i < 3; i++) {
      const refused = await weir.ask(list.path(signed.image));
      expect([refused.status, errorOf(refused).code]).toEqual([404, 'UNSUPPORTED']);
    }
    expect(weir.upstream.count({ kind: 'referrers' })).toBe(there === undefined || there.status !== 403 ? 1 : 2);
    expect(fallback.held(await weir.ask(fallback.path(signed.image)), signed)).toEqual(fallback.all(signed));
  });

  it('fails where the repository has given a list: what is known is kept, and nothing is made up', async () => {
    const clock = new FakeClock();
    await using site = await ScriptedUpstream.start();
    if (there !== undefined) site.on({}, there);
    await using weir = await WeirUnderTest.start({ clock });
    const [signed, other] = [addSigned(weir.upstream, 'v1'), addSigned(weir.upstream, 'v2')];
    expect(list.held(await weir.ask(list.path(signed.image)), signed)).toEqual(list.all(signed));
    weir.upstream.on({ kind: 'referrers' }, says(site.url));
    await clock.advance(freshMs);
    const kept = await weir.ask(list.path(signed.image));
    expect(list.held(kept, signed)).toEqual(list.all(signed));
    expect(kept.headers['cache-status']).toContain('detail=stale');
    expect((await weir.ask(list.path(other.image))).status).toBeGreaterThanOrEqual(502);
  });
});

it('a real outage is no word about the API', async () => {
  await using weir = await WeirUnderTest.start();
  const signed = addSigned(weir.upstream, 'v1');
  for (const behaviour of [answer(500), answer(503), redirect('http://127.0.0.1:1/')]) {
    weir.upstream.on({ kind: 'referrers' }, behaviour);
    expect((await weir.ask(list.path(signed.image))).status).toBeGreaterThanOrEqual(502);
  }
});
