/** `access: public`: everything is asked as a stranger, and the credential only raises limits. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../src/lib/log.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { Secret } from '../../src/lib/secret.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { type CredentialSource, credentialIdentity } from '../../src/upstream/credentials/credentials.ts';
import { provedBy, PublicUpstream } from '../../src/upstream/public-upstream.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { TokenIssuer } from '../support/upstream/auth.ts';
import { answer, headers } from '../support/upstream/behaviour.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo } from './support/clients.ts';

const manifest = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: {}, layers: [] });
const manifestDigest = digestOf(manifest);
const content = 'a layer';
const layer = digestOf(content);

const users: Record<string, string> = {};
let registry: ScriptedUpstream;
let upstream: PublicUpstream;
let told: ReturnType<typeof recorder>;
let complaints: string[];
/** What a login file holds: it may change while weir runs. */
let user: string | undefined;

const credentials: CredentialSource = {
  get: () =>
    Promise.resolve(
      user === undefined
        ? undefined
        : {
            kind: 'basic',
            name: 'test',
            identity: credentialIdentity(user),
            username: user,
            password: new Secret('secret'),
          },
    ),
  refused: () => undefined,
  mayAnswer: () => user !== undefined,
  isAt: () => user !== undefined,
};

beforeEach(async () => {
  users['me'] = 'secret';
  user = 'me';
  const issuer = new TokenIssuer({ users, privateRepositories: ['a/private'] });
  registry = await ScriptedUpstream.start({ auth: { kind: 'bearer', issuer } });
  for (const name of ['a/b', 'a/private']) {
    registry.content.addManifest(name, manifest, mediaTypes.ociManifest);
    registry.content.tag(name, 'v1', manifestDigest);
    registry.content.addBlob(name, content);
  }
  told = recorder();
  complaints = [];
  const url = new URL(registry.url);
  const logger: Logger = {
    ...silentLogger,
    error: (_fields: unknown, message: string) => void complaints.push(message),
  } as Logger;
  upstream = new PublicUpstream({
    member: clientOf(url, { credentials }),
    stranger: clientOf(url),
    logger,
    events: told.events,
  });
});
afterEach(async () => {
  await upstream.close();
  await registry[Symbol.asyncDispose]();
});

/** How each question that got an answer other than 401 was asked: `HEAD manifest`, and `+` with the credential. */
function asked(): readonly string[] {
  const members = registry.requests.filter(
    ({ kind, headers: sent }) => kind === 'token' && sent['authorization'] !== undefined,
  );
  const questions = registry.requests.filter(({ kind, status }) => kind !== 'token' && status !== 401);
  registry.forgetRequests();
  return [
    ...questions.map(({ method, kind }) => `${method} ${kind}`),
    ...(members.length > 0 ? ['with a credential'] : []),
  ];
}

describe('a manifest', () => {
  it('is fetched with the credential by the digest that a stranger was told', async () => {
    const body = await upstream.getManifest(repo('a/b'), ref('v1'), never);
    expect(body).toMatchObject({ digest: manifestDigest });
    expect(body.shown).toBeUndefined();
    expect(registry.matching({ kind: 'manifest', method: 'GET' }).map(({ reference }) => reference)).toContain(
      manifestDigest,
    );
    expect(asked()).toEqual(['HEAD manifest', 'GET manifest', 'with a credential']);
  });

  it('that strangers do not get is not fetched at all', async () => {
    expect((await failureOf(upstream.getManifest(repo('a/private'), ref('v1'), never))).kind).toBe('denied');
    expect((await failureOf(upstream.headManifest(repo('a/private'), ref('v1'), never))).kind).toBe('denied');
    expect(asked()).toEqual([]);
  });

  it('is not had by a login that appears while weir runs', async () => {
    user = undefined;
    expect((await failureOf(upstream.getManifest(repo('a/private'), ref('v1'), never))).kind).toBe('denied');
    user = 'me';
    const asks = Array.from({ length: 10 }, () => upstream.getManifest(repo('a/private'), ref('v1'), never));
    for (const each of await Promise.allSettled(asks)) expect(each.status).toBe('rejected');
  });

  it('is not proved by the page that strangers are led to', () => {
    const byDigest = { kind: 'digest', digest: manifestDigest } as const;
    const head = { digest: undefined, mediaType: mediaTypes.ociManifest, sizeBytes: 1 };
    const others = { ...head, digest: digestOf('another') };
    expect(provedBy({ ...head, mediaType: 'text/plain' }, byDigest)).toBeUndefined();
    expect(provedBy({ ...head, mediaType: undefined }, byDigest)).toBeUndefined();
    expect(provedBy({ ...head, isElsewhere: true }, byDigest)).toBeUndefined();
    expect(provedBy(others, byDigest)).toBeUndefined();
    expect(provedBy({ ...others, mediaType: 'text/plain' }, ref('v1'))).toBeUndefined();
    expect(provedBy(head, ref('v1'))).toBeUndefined();
    expect(provedBy(head, byDigest)).toBe(manifestDigest);
    expect(provedBy({ ...head, digest: manifestDigest, mediaType: undefined }, byDigest)).toBe(manifestDigest);
    expect(provedBy(others, ref('v1'))).toBe(others.digest);
  });

  it('is fetched as a stranger when no digest is named', async () => {
    registry.on({ kind: 'manifest', method: 'HEAD' }, headers({ 'Docker-Content-Digest': undefined }));
    await upstream.getManifest(repo('a/b'), ref('v1'), never);
    expect(asked()).not.toContain('with a credential');
  });

  it('that a limited stranger was told of before is fetched by that digest, and no other', async () => {
    await upstream.getManifest(repo('a/b'), ref('v1'), never);
    asked();
    registry.on({ kind: 'manifest', method: 'HEAD' }, answer(429, { headers: { 'Retry-After': '30' } }));
    expect((await upstream.getManifest(repo('a/b'), ref('v1'), never)).digest).toBe(manifestDigest);
    expect((await failureOf(upstream.getManifest(repo('a/private'), ref('v1'), never))).kind).toMatch(
      /rateLimited|breakerOpen/,
    );
    expect(asked().filter((each) => each.startsWith('GET'))).toEqual(['GET manifest']);
  });

  it('costs the higher limit and nothing more when the credential is refused, said once', async () => {
    users['me'] = 'another';
    for (let i = 0; i < 2; i++) {
      expect((await upstream.getManifest(repo('a/b'), ref('v1'), never)).digest).toBe(manifestDigest);
    }
    expect(complaints).toHaveLength(1);
    expect(told.rejected).toContain('credential');
  });
});

describe('a credential that is refused', () => {
  const sendings = (): number =>
    registry.requests.filter(({ kind, headers: sent }) => kind === 'token' && sent['authorization'] !== undefined)
      .length;

  it.each(['at once', 'one after the other'])(
    'is sent few times by 100 questions %s, all of which are answered, and another one at once',
    async (how) => {
      users['me'] = 'rotated';
      const names = Array.from({ length: 100 }, (_, index) => `b/${index}`);
      for (const name of names) {
        registry.content.addManifest(name, manifest, mediaTypes.ociManifest);
        registry.content.tag(name, 'v1', manifestDigest);
      }
      const ask = (name: string): Promise<unknown> => upstream.getManifest(repo(name), ref('v1'), never);
      const got = how === 'at once' ? await Promise.all(names.map(ask)) : [];
      if (how !== 'at once') for (const name of names) got.push(await ask(name));
      expect(got.map((body) => (body as { digest?: unknown }).digest)).toEqual(names.map(() => manifestDigest));
      expect(sendings()).toBeLessThanOrEqual(3);
      expect(complaints).toHaveLength(1);
      users['she'] = 'secret';
      user = 'she';
      registry.forgetRequests();
      await upstream.getManifest(repo('a/b'), ref('v1'), never);
      expect(asked()).toContain('with a credential');
      // Nothing that strangers do not get was had by either.
      expect((await failureOf(upstream.getManifest(repo('a/private'), ref('v1'), never))).kind).toBe('denied');
    },
  );
});

describe('a blob', () => {
  const request = { repository: repo('a/b'), digest: layer };

  it('is fetched as a stranger', async () => {
    expect(String(await readAll(await upstream.openBlob(request, never)))).toBe(content);
    expect(asked()).toEqual(['GET blob']);
  });

  it('is fetched with the credential after a limit, once a stranger has seen it', async () => {
    await readAll(await upstream.openBlob(request, never));
    expect(asked()).toEqual(['GET blob']);
    registry.on({ kind: 'blob', method: 'GET' }, { times: 1 }, answer(429, { headers: { 'Retry-After': '30' } }));
    expect(String(await readAll(await upstream.openBlob(request, never)))).toBe(content);
    expect(asked()).toContain('with a credential');
    await upstream.statBlob(repo('a/private'), layer, never).catch(() => undefined);
    expect((await failureOf(upstream.openBlob({ ...request, repository: repo('a/private') }, never))).kind).toMatch(
      /denied|rateLimited|breakerOpen/,
    );
  });
});

it('lists are a stranger’s', async () => {
  expect((await failureOf(upstream.listTags(repo('a/private'), {}, never))).kind).toBe('denied');
  expect((await failureOf(upstream.listReferrers(repo('a/private'), manifestDigest, {}, never))).kind).toBe('denied');
  expect((await upstream.listTags(repo('a/b'), {}, never)).shown).toBeUndefined();
  expect(asked()).toEqual(['GET tags']);
});
