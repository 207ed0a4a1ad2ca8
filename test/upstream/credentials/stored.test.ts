import { chmod, mkdir, rename, utimes, writeFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { CredentialHelpers } from '../../../src/upstream/credentials/helper.ts';
import type { Credential } from '../../../src/upstream/credentials/credentials.ts';
import { CredentialStore } from '../../../src/upstream/credentials/stored.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { repository } from '../support/auth-servers.ts';

const { signal } = new AbortController();

function entry(user: string): { auth: string } {
  return { auth: Buffer.from(`${user}:secret-of-${user}`).toString('base64') };
}

function userOf(credential: Credential | undefined): string | undefined {
  return credential?.kind === 'basic' ? credential.username : credential?.kind;
}

async function ask(store: CredentialStore, registry: string, name = 'org/app'): Promise<string | undefined> {
  return userOf(await store.get({ registry: new URL(registry), repository: repository(name) }, signal));
}

/** A directory of helpers as the only PATH entry beside the system's. */
function helpersIn(path: string): CredentialHelpers {
  return new CredentialHelpers({ environment: { PATH: `${path}:/usr/bin:/bin` } });
}

async function script(path: string, lines: readonly string[]): Promise<void> {
  await writeFile(path, ['#!/bin/sh', ...lines, ''].join('\n'));
  await chmod(path, 0o755);
}

describe('CredentialStore', () => {
  it('takes the most specific entry for the repository, then the host', async () => {
    await using temp = await tempDirectory();
    const auths = {
      'quay.io': entry('host'),
      'quay.io/org': entry('namespace'),
      'quay.io/org/app': entry('repository'),
      'quay.io/org/app/deeper': entry('deeper'),
    };
    await writeFile(temp.file('auth.json'), JSON.stringify({ auths }));
    const store = new CredentialStore({ files: [temp.file('auth.json')], helpers: helpersIn(temp.path) });
    expect(await ask(store, 'https://quay.io', 'org/app')).toBe('repository');
    expect(await ask(store, 'https://quay.io', 'org/app2')).toBe('namespace');
    expect(await ask(store, 'https://quay.io', 'organisation/app')).toBe('host');
    expect(await ask(store, 'https://ghcr.io', 'org/app')).toBeUndefined();
  });

  it('knows Docker Hub by all its names, and no other host by a similar one', async () => {
    await using temp = await tempDirectory();
    const auths = { 'https://index.docker.io/v1/': entry('hub') };
    await writeFile(temp.file('config.json'), JSON.stringify({ auths }));
    const store = new CredentialStore({ files: [temp.file('config.json')], helpers: helpersIn(temp.path) });
    for (const host of ['registry-1.docker.io', 'index.docker.io', 'docker.io']) {
      expect(await ask(store, `https://${host}`, 'library/alpine')).toBe('hub');
    }
    for (const host of ['auth.docker.io', 'docker.io.evil', 'registry-1.docker.io:8443', 'xdocker.io']) {
      expect(await ask(store, `https://${host}`, 'library/alpine')).toBeUndefined();
    }
  });

  it('tells ports apart, and reads a default port that is spelled out', async () => {
    await using temp = await tempDirectory();
    const auths = { 'a.test:443': entry('tls'), 'a.test:80': entry('plain'), 'a.test:5000': entry('other') };
    await writeFile(temp.file('config.json'), JSON.stringify({ auths }));
    const store = new CredentialStore({ files: [temp.file('config.json')], helpers: helpersIn(temp.path) });
    expect(await ask(store, 'https://a.test')).toBe('tls');
    expect(await ask(store, 'http://a.test')).toBe('plain');
    expect(await ask(store, 'https://a.test:5000')).toBe('other');
    expect(await ask(store, 'https://a.test:5001')).toBeUndefined();
  });

  it('matches patterns label by label, after exact names', async () => {
    await using temp = await tempDirectory();
    const auths = { '*.azurecr.io': entry('any'), 'x.azurecr.io': entry('exact'), 'reg-*.test': entry('prefix') };
    await writeFile(temp.file('config.json'), JSON.stringify({ auths }));
    const store = new CredentialStore({ files: [temp.file('config.json')], helpers: helpersIn(temp.path) });
    expect(await ask(store, 'https://x.azurecr.io')).toBe('exact');
    expect(await ask(store, 'https://y.azurecr.io')).toBe('any');
    expect(await ask(store, 'https://reg-1.test')).toBe('prefix');
    for (const host of [
      'a.b.azurecr.io',
      'azurecr.io',
      'y.azurecr.io.evil',
      'yazurecr.io',
      'reg-1.x.test',
      'regx.test',
    ]) {
      expect(await ask(store, `https://${host}`)).toBeUndefined();
    }
  });

  it('takes the first file with an answer, the inline text before all, and missing files as empty', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('one.json'), JSON.stringify({ auths: { 'a.test': entry('one') } }));
    await writeFile(
      temp.file('two.json'),
      JSON.stringify({ auths: { 'a.test': entry('two'), 'b.test': entry('two') } }),
    );
    const inline = {
      name: 'DOCKER_AUTH_CONFIG',
      text: new Secret(JSON.stringify({ auths: { 'c.test': entry('env') } })),
    };
    const files = [temp.file('none.json'), temp.file('none', 'x.json'), temp.file('one.json'), temp.file('two.json')];
    const store = new CredentialStore({ inline, files, helpers: helpersIn(temp.path) });
    await store.load();
    expect(await ask(store, 'https://a.test')).toBe('one');
    expect(await ask(store, 'https://b.test')).toBe('two');
    expect(await ask(store, 'https://c.test')).toBe('env');
    expect(await ask(store, 'https://d.test')).toBeUndefined();
  });

  it('reads a file again when it changes, appears or goes', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('config.json');
    const store = new CredentialStore({ files: [path], helpers: helpersIn(temp.path) });
    expect(await ask(store, 'https://a.test')).toBeUndefined();
    await writeFile(path, JSON.stringify({ auths: { 'a.test': entry('one') } }));
    expect(await ask(store, 'https://a.test')).toBe('one');
    await writeFile(path, JSON.stringify({ auths: { 'a.test': entry('another') } }));
    expect(await ask(store, 'https://a.test')).toBe('another');
    await writeFile(path, '{}');
    expect(await ask(store, 'https://a.test')).toBeUndefined();
  });

  it('reads anew after a refusal even where size and time are the same', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('config.json');
    const at = new Date(2026, 0, 1);
    await writeFile(path, JSON.stringify({ auths: { 'a.test': entry('one') } }));
    await utimes(path, at, at);
    const store = new CredentialStore({ files: [path], helpers: helpersIn(temp.path) });
    expect(await ask(store, 'https://a.test')).toBe('one');
    await writeFile(path, JSON.stringify({ auths: { 'a.test': entry('two') } }));
    await utimes(path, at, at);
    store.refused({ registry: new URL('https://a.test'), repository: repository('org/app') });
    expect(await ask(store, 'https://a.test')).toBe('two');
  });

  it('names the file that it cannot read or understand, and nothing of its content', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('bad.json'), '{"auths":{"a.test":{"auth":"c4n4ry');
    await mkdir(temp.file('directory.json'));
    execFileSync('mkfifo', [temp.file('fifo.json')]);
    for (const [name, kind] of [
      ['bad.json', 'malformed'],
      ['directory.json', 'unreadable'],
      ['fifo.json', 'unreadable'],
    ] as const) {
      const store = new CredentialStore({ files: [temp.file(name)], helpers: helpersIn(temp.path) });
      const error: unknown = await store.load().catch((caught: unknown) => caught);
      expect(error).toMatchObject({ kind, message: expect.stringContaining(temp.file(name)) });
      expect(String(error)).not.toContain('c4n4ry');
      await expect(ask(store, 'https://a.test')).rejects.toMatchObject({ kind });
    }
  });

  it('prefers credHelpers to credsStore to auths, and goes on where one has nothing', async () => {
    await using temp = await tempDirectory();
    const answer = (user: string): string => `echo '{"Username":"${user}","Secret":"x"}'`;
    await script(temp.file('docker-credential-own'), [answer('own')]);
    await script(temp.file('docker-credential-all'), [answer('all')]);
    await script(temp.file('docker-credential-none'), ['echo credentials not found in native keychain', 'exit 1']);
    const auths = { 'a.test': entry('file'), 'b.test': entry('file'), 'c.test': {} };
    const write = (credsStore: string): Promise<void> =>
      writeFile(
        temp.file('config.json'),
        JSON.stringify({ auths, credsStore, credHelpers: { 'a.test': 'own', 'd.test': 'none' } }),
      );
    const store = new CredentialStore({ files: [temp.file('config.json')], helpers: helpersIn(temp.path) });
    await write('all');
    expect(await ask(store, 'https://a.test')).toBe('own');
    expect(await ask(store, 'https://b.test')).toBe('all');
    expect(await ask(store, 'https://c.test')).toBe('all');
    expect(await ask(store, 'https://d.test')).toBe('all');
    await write('none');
    expect(await ask(store, 'https://b.test')).toBe('file');
    expect(await ask(store, 'https://c.test')).toBeUndefined();
    expect(await ask(store, 'https://d.test')).toBeUndefined();
  });

  it('says which registries it may answer for: all until it has read, then those it knows', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('config.json');
    await writeFile(
      path,
      JSON.stringify({ auths: { 'a.test/org': entry('a'), 'empty.test': {} }, credHelpers: { 'b.test': 'x' } }),
    );
    const store = new CredentialStore({ files: [path], helpers: helpersIn(temp.path) });
    const may = (host: string): boolean => store.mayAnswer(new URL(`https://${host}`));
    expect(may('z.test')).toBe(true);
    await store.load();
    expect(['a.test', 'b.test', 'empty.test', 'z.test'].map(may)).toEqual([true, true, false, false]);
    await writeFile(path, '{"credsStore":"desktop"}');
    await store.load();
    expect(may('z.test')).toBe(true);
  });

  it('tells within a second that a file has changed, though nobody asks for it', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('config.json');
    const quay = new URL('https://quay.io');
    const store = new CredentialStore({ files: [path], helpers: helpersIn(temp.path) });
    await writeFile(path, JSON.stringify({ auths: { 'quay.io': entry('org') } }));
    await store.load();
    const clock = new FakeClock();
    let changed = Promise.withResolvers<void>();
    const watch = store.watch(clock, () => changed.resolve());
    for (const auths of [{}, { 'quay.io': entry('org') }]) {
      await writeFile(`${path}.new`, JSON.stringify({ auths }));
      await rename(`${path}.new`, path);
      while (clock.pending === 0) await setImmediate();
      await clock.advance(1000);
      await changed.promise;
      expect(store.isAt('basic org', quay)).toBe('quay.io' in auths);
      changed = Promise.withResolvers();
    }
    watch[Symbol.dispose]();
    expect(clock.pending).toBe(0);
  });
});
