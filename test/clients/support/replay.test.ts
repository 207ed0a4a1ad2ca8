/** The replays' own eyes: what they must notice, they notice. */
import { describe, expect, it } from 'vitest';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { rawFetch } from '../../support/raw-client.ts';
import { answer, headers } from '../../support/upstream/behaviour.ts';
import { type ClientOptions, ReplayClient } from './client.ts';
import { expectWhole } from './descriptor.ts';
import { costsOf, expectNothingOfTheClient } from './replay.ts';

const options: ClientOptions = { userAgent: 'some-client/1.0' };

describe('a replay', () => {
  it.each([
    ['the credential', { Authorization: 'Basic cG9kOmh1bnRlcjI=' }, '/v2/a/tags/list'],
    ['its name', { 'User-Agent': 'some-client/1.0' }, '/v2/a/tags/list'],
    ['its `ns`', {}, '/v2/a/tags/list?ns=ghcr.io'],
  ])('notices that an upstream is shown %s of a client', async (_, sent, target) => {
    await using upstream = await ScriptedUpstream.start();
    await rawFetch(`${upstream.url}/v2/`);
    expectNothingOfTheClient(upstream.requests, options.userAgent);
    await rawFetch(upstream.url + target, { headers: sent });
    expect(costsOf(upstream.requests)).toEqual({ 'GET ping': 1, 'GET tags': 1 });
    expect(() => expectNothingOfTheClient(upstream.requests, options.userAgent)).toThrow();
  });

  it.each([
    ['a demand to log in', answer(401, { headers: { 'WWW-Authenticate': 'Basic realm="x"' } })],
    ['a body that is encoded', headers({ 'Content-Encoding': 'gzip' })],
    ['a body of unknown length', { framing: 'chunked' as const }],
    ['a server that does not say what it is', headers({ 'Docker-Distribution-API-Version': undefined })],
  ])('notices %s', async (_, behaviour) => {
    await using upstream = await ScriptedUpstream.start();
    upstream.always = headers({ 'Docker-Distribution-API-Version': 'registry/2.0' });
    const digest = upstream.content.addBlob('a', 'hello');
    using client = new ReplayClient(upstream.url, options);
    const target = `/v2/a/blobs/${digest}`;
    expectWhole(await client.get(target), { digest, size: 5, mediaType: '' });
    upstream.on({ kind: 'blob' }, behaviour);
    await expect(client.get(target)).rejects.toThrow();
  });

  it('uses one connection for one request after the other, and as many as are needed at once', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.always = headers({ 'Docker-Distribution-API-Version': 'registry/2.0' });
    using client = new ReplayClient(upstream.url, options);
    for (let i = 0; i < 3; i++) await client.get('/v2/');
    expect(client.connections).toBe(1);
    await Promise.all([client.get('/v2/'), client.get('/v2/'), client.get('/v2/')]);
    expect(client.connections).toBe(3);
    using other = new ReplayClient(upstream.url, { ...options, keepAlive: false });
    for (let i = 0; i < 3; i++) await other.get('/v2/');
    expect(other.connections).toBe(3);
    expect(upstream.connections).toBe(6);
  });
});
