/** Over real sockets: how often a credential that is refused is sent, and how soon another one is. */
import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CredentialHelpers } from '../../../src/upstream/credentials/helper.ts';
import { configuredCredential } from '../../../src/upstream/credentials/configured.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { basicCredential, basicOf, clientOf, sourceOf, tokenRegistry, tokenServer } from '../support/auth-servers.ts';
import { serve, type TestServer } from '../support/servers.ts';

const wrong = basicCredential('me', 'wrong');

/** Takes `me:right`, for what is not forbidden; says 401 to the rest, as some registries do about a repository as well. */
function basicRegistry(): Promise<TestServer> {
  return serve((request, response) => {
    const isGood = basicOf(request) === 'me:right' && request.url?.includes('forbidden') !== true;
    if (isGood) response.end('content');
    else response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
  });
}

function sendings(registry: TestServer): number {
  return registry.seen.filter((seen) => basicOf(seen) !== undefined).length;
}

/** The verdict, or the kind of the error. */
async function ask(client: Awaited<ReturnType<typeof clientOf>>, name: string): Promise<unknown> {
  return client.ask(name).then(
    ({ outcome }) => outcome,
    (error: { kind?: unknown }) => error.kind,
  );
}

function names(count: number, prefix = 'a'): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}

describe('a wrong password', () => {
  it.each(['at once', 'one after the other'])('is sent to a registry three times by 100 questions %s', async (how) => {
    await using registry = await basicRegistry();
    await using client = clientOf(registry.url, { credentials: sourceOf(() => wrong), clock: new FakeClock() });
    const outcomes = how === 'at once' ? await Promise.all(names(100).map((name) => ask(client, name))) : [];
    if (how !== 'at once') for (const name of names(100)) outcomes.push(await ask(client, name));
    expect(new Set(outcomes)).toEqual(new Set(['credentialRefused']));
    expect(sendings(registry)).toBe(3);
  });

  it('is sent to a registry once by 100 questions about one repository', async () => {
    await using registry = await basicRegistry();
    await using client = clientOf(registry.url, { credentials: sourceOf(() => wrong), clock: new FakeClock() });
    const outcomes = await Promise.all(names(100).map(() => ask(client, 'a')));
    expect(new Set(outcomes)).toEqual(new Set(['credentialRefused']));
    expect(sendings(registry)).toBe(1);
  });

  it('is tried once by 100 questions at a token server, with the scope and without', async () => {
    await using tokens = await tokenServer(() => ({ status: 401 }));
    await using registry = await tokenRegistry(tokens);
    const options = { credentials: sourceOf(() => wrong), realms: [tokens.server.url.origin], clock: new FakeClock() };
    await using client = clientOf(registry.url, options);
    const outcomes = await Promise.all(names(100).map((name) => ask(client, name)));
    expect(new Set(outcomes)).toEqual(new Set(['credentialRefused']));
    expect(tokens.queries).toHaveLength(2);
  });

  it('is tried again after 5 s, then 10 s, then 20 s, up to a minute', async () => {
    await using registry = await basicRegistry();
    const clock = new FakeClock();
    await using client = clientOf(registry.url, { credentials: sourceOf(() => wrong), clock });
    const sentAtS: number[] = [];
    for (let second = 0; second <= 215; second++) {
      const before = sendings(registry);
      await ask(client, 'a');
      if (sendings(registry) > before) sentAtS.push(second);
      await clock.advance(1_000);
    }
    expect(sentAtS).toEqual([0, 5, 15, 35, 75, 135, 195]);
  });

  it('that has become right is taken when its pause ends, and then for everything', async () => {
    let isRight = false;
    await using registry = await serve((request, response) => {
      if (isRight && basicOf(request) !== undefined) return void response.end('content');
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    });
    const clock = new FakeClock();
    await using client = clientOf(registry.url, { credentials: sourceOf(() => wrong), clock });
    for (const name of names(4)) await ask(client, name);
    isRight = true;
    expect(await ask(client, 'b')).toBe('credentialRefused');
    await clock.advance(5_000);
    expect(await Promise.all(names(20).map((name) => ask(client, name)))).toEqual(names(20).map(() => 200));
  });

  it('in a file that is replaced is replaced with the next question', async () => {
    await using temp = await tempDirectory();
    await using registry = await basicRegistry();
    const path = temp.file('password');
    await writeFile(path, 'wrong\n');
    const config = { kind: 'basic', username: 'me', password: { kind: 'file', path } } as const;
    const credentials = configuredCredential(config, [registry.url], new CredentialHelpers());
    await using client = clientOf(registry.url, { credentials, clock: new FakeClock() });
    for (const name of names(10)) expect(await ask(client, name)).toBe('credentialRefused');
    await writeFile(path, 'right\n');
    expect(await ask(client, 'a0')).toBe(200);
    expect(await ask(client, 'b')).toBe(200);
  });
});

describe('a good password', () => {
  it('is not given up for one repository that answers 401 to it', async () => {
    await using registry = await basicRegistry();
    const credentials = sourceOf(() => basicCredential('me', 'right'));
    await using client = clientOf(registry.url, { credentials, clock: new FakeClock() });
    for (let i = 0; i < 10; i++) {
      expect(await ask(client, 'forbidden')).toBe('credentialRefused');
      expect(await ask(client, `a${i}`)).toBe(200);
    }
    expect(sendings(registry)).toBe(11);
  });

  it('does not wait longer than 2 s for a question that hangs', async () => {
    await using registry = await serve((request, response) => {
      if (basicOf(request) === undefined) return void response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
      if (request.url?.includes('hanging') !== true) response.end('content');
    });
    const clock = new FakeClock();
    const credentials = sourceOf(() => basicCredential('me', 'right'));
    const client = clientOf(registry.url, { credentials, clock });
    const hanging = ask(client, 'hanging');
    await expect.poll(() => sendings(registry)).toBe(1);
    const healthy = ask(client, 'a');
    await expect.poll(() => registry.seen.length).toBe(2);
    await clock.advance(2_000);
    expect(await healthy).toBe(200);
    await client[Symbol.asyncDispose]();
    await hanging;
  });
});
