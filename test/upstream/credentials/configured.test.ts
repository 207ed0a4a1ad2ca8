import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CredentialHelpers } from '../../../src/upstream/credentials/helper.ts';
import { type ConfiguredCredential, configuredCredential } from '../../../src/upstream/credentials/configured.ts';
import { type CredentialSource, firstOf } from '../../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { tempDirectory } from '../../support/temp.ts';
import { basicCredential, repository, sourceOf } from '../support/auth-servers.ts';

const { signal } = new AbortController();
const endpoint = new URL('https://registry.test/path');

function source(config: ConfiguredCredential): CredentialSource {
  return configuredCredential(config, [endpoint, new URL('http://second.test:81')], new CredentialHelpers());
}

async function secretOf(from: CredentialSource, registry: URL = endpoint): Promise<string | undefined> {
  const credential = await from.get({ registry, repository: repository('a') }, signal);
  return credential?.kind === 'basic' ? credential.password.reveal() : credential?.token.reveal();
}

describe('configuredCredential', () => {
  it('answers for the endpoints of its upstream and for nothing else', async () => {
    const from = source({ kind: 'basic', username: 'me', password: { kind: 'value', secret: new Secret('pw') } });
    const places: readonly (readonly [string, boolean])[] = [
      ['https://registry.test', true],
      ['https://registry.test:443/other', true],
      ['http://second.test:81', true],
      ['http://registry.test', false],
      ['https://registry.test:8443', false],
      ['https://second.test:81', false],
      ['https://registry.test.evil', false],
      ['https://sub.registry.test', false],
    ];
    for (const [place, isOwn] of places) {
      expect([place, from.mayAnswer(new URL(place))]).toEqual([place, isOwn]);
      expect([place, await secretOf(from, new URL(place))]).toEqual([place, isOwn ? 'pw' : undefined]);
    }
  });

  it('reads a password file without the line break at its end, and again when it changes', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('password');
    const from = source({ kind: 'basic', username: 'me', password: { kind: 'file', path } });
    await writeFile(path, ' first \n');
    expect(await secretOf(from)).toBe(' first ');
    await writeFile(path, 'second\r\n');
    expect(await secretOf(from)).toBe('second');
    await writeFile(path, 'two\nlines\n');
    expect(await secretOf(from)).toBe('two\nlines');
  });

  it('keeps its identity while the secret stays, and its name for ever', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('token');
    const from = source({ kind: 'identityToken', token: { kind: 'file', path } });
    const get = (): ReturnType<CredentialSource['get']> =>
      from.get({ registry: endpoint, repository: repository('a') }, signal);
    await writeFile(path, 'one');
    const first = await get();
    expect((await get())?.identity).toBe(first?.identity);
    await writeFile(path, 'three');
    const second = await get();
    expect(second?.identity).not.toBe(first?.identity);
    expect(second?.name).toBe(first?.name);
    expect(JSON.stringify([first, second])).not.toMatch(/one|three/);
  });

  it('is an error when the file is missing or empty', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('password');
    const from = source({ kind: 'basic', username: 'me', password: { kind: 'file', path } });
    await expect(secretOf(from)).rejects.toMatchObject({ kind: 'unreadable', message: expect.stringContaining(path) });
    await writeFile(path, '\n');
    await expect(secretOf(from)).rejects.toMatchObject({ kind: 'malformed', message: expect.stringContaining(path) });
  });
});

describe('firstOf', () => {
  it('takes the first answer and tells all of a refusal', async () => {
    const none = sourceOf(
      () => undefined,
      () => false,
    );
    const second = sourceOf(() => basicCredential('second', 'two'));
    const third = sourceOf(() => basicCredential('third', 'three'));
    const from = firstOf([none, second, third]);
    expect(await secretOf(from)).toBe('two');
    expect(from.mayAnswer(endpoint)).toBe(true);
    from.refused({ registry: endpoint, repository: repository('a') });
    expect([none.refusals, second.refusals, third.refusals]).toEqual([1, 1, 1]);
    expect(firstOf([]).mayAnswer(endpoint)).toBe(false);
  });
});
