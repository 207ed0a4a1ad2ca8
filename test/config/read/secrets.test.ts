/** No secret, and nothing that may be one, gets into a problem, into `config show`, or into a dump of the Config. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/read/problem.ts';
import { showPlain, showYaml } from '../../../src/config/show.ts';
import type { Env } from '../../../src/config/read/variables.ts';

const dir = mkdtempSync(join(tmpdir(), 'weir-secrets-'));
afterAll(() => rmSync(dir, { recursive: true }));
const canary = 'hunter2CANARY';

let files = 0;
function load(yaml: string, env: Env = {}) {
  const path = join(dir, `${(files += 1)}.yaml`);
  writeFileSync(path, yaml);
  return loadConfig({ path, env, cwd: dir });
}

function authOf(yaml: string, env: Env = {}) {
  const loaded = load(`upstreams: { lab: { auth: ${yaml} } }`, env);
  if (loaded.kind === 'problems')
    return loaded.problems.map(formatProblem).map((line) => line.replace(/^.*?upstreams/, 'upstreams'));
  return loaded.config.upstreams.find(({ key }) => key === 'lab')?.auth;
}

writeFileSync(join(dir, 'secret'), canary);
writeFileSync(join(dir, 'empty'), '');
writeFileSync(join(dir, 'docker-credential-lab'), '#!/bin/sh\n');
chmodSync(join(dir, 'docker-credential-lab'), 0o755);
writeFileSync(join(dir, 'docker-credential-text'), 'a file that is no program');

describe('credentials in the configuration', () => {
  it('are a user name with a file or a variable', () => {
    expect(authOf('{ username: me, passwordFile: secret }')).toEqual({
      kind: 'basic',
      username: 'me',
      password: { kind: 'file', path: join(dir, 'secret') },
    });
    const auth = authOf('{ username: me, passwordEnv: LAB_PASSWORD }', { LAB_PASSWORD: canary });
    expect(auth).toMatchObject({ kind: 'basic', password: { kind: 'value' } });
    const secret =
      auth !== undefined && 'kind' in auth && auth.kind === 'basic' && auth.password.kind === 'value'
        ? auth.password.secret
        : undefined;
    expect(secret?.reveal()).toBe(canary);
  });

  it('are an identity token, or a helper that is there', () => {
    expect(authOf('{ identityTokenFile: secret }')).toEqual({
      kind: 'identityToken',
      token: { kind: 'file', path: join(dir, 'secret') },
    });
    expect(authOf('{ helper: lab }', { PATH: `/nowhere:${dir}` })).toEqual({ kind: 'helper', name: 'lab' });
  });

  it.each([
    ['{}', 'upstreams.lab.auth: write username with passwordFile'],
    ['{ username: me }', 'upstreams.lab.auth: username needs passwordFile or passwordEnv'],
    ['{ passwordFile: secret }', 'upstreams.lab.auth.username: missing; the password needs it'],
    [
      '{ username: me, passwordFile: secret, passwordEnv: P }',
      'upstreams.lab.auth: write passwordFile or passwordEnv, not both',
    ],
    [
      '{ identityTokenFile: secret, identityTokenEnv: P }',
      'upstreams.lab.auth: write identityTokenFile or identityTokenEnv, not both',
    ],
    ['{ username: me, passwordFile: secret, helper: lab }', 'upstreams.lab.auth: write one of'],
    [
      '{ username: me, passwordEnv: NOBODY_SET_IT }',
      'upstreams.lab.auth.passwordEnv: the variable of that name is not set',
    ],
    ['{ username: me, passwordFile: empty }', 'upstreams.lab.auth.passwordFile: found "empty": the file is empty'],
    ['{ username: me, passwordFile: nope }', 'upstreams.lab.auth.passwordFile: found "nope": there is no such file'],
    [
      '{ username: "a:b", passwordFile: secret }',
      'upstreams.lab.auth.username: found "a:b": write a user name, without a colon',
    ],
    ['{ helper: nope }', 'upstreams.lab.auth.helper: found "nope": docker-credential-nope is not on the PATH'],
    ['{ helper: text }', 'upstreams.lab.auth.helper: found "text": docker-credential-text is not on the PATH'],
    ['{ helper: /bin/sh }', 'upstreams.lab.auth.helper: found "/bin/sh": write the name after docker-credential-'],
  ])('%s is a problem', (yaml, expected) => {
    expect(authOf(yaml, { PATH: dir, P: 'x' })).toContainEqual(expect.stringContaining(expected));
  });

  it.each([
    ['password', 'passwordFile'],
    ['secret', 'passwordFile'],
    ['identityToken', 'identityTokenFile'],
    ['token', 'identityTokenFile'],
  ])('a %s in the file is an error that says what to use', (key, instead) => {
    const found = authOf(`{ username: me, ${key}: ${canary} }`);
    expect(found).toEqual([
      expect.stringMatching(new RegExp(`^upstreams.lab.auth.${key}: secrets are not written .*${instead}`)),
    ]);
  });
});

describe('secrets', () => {
  it.each([
    `upstreams: { lab: { auth: ${canary} } }`,
    `upstreams: { lab: { auth: [${canary}] } }`,
    `upstreams: { lab: { auth: { passwordEnv: ${canary}! } } }`,
    `upstreams: { lab: { auth: { username: me, passwordEnv: ${canary} } } }`,
    `upstreams: { lab: { auth: { passwrd: ${canary} } } }`,
    `upstreams: { lab: { auth: { ${'identityTokenEnv'}: "${canary} x" } } }`,
    `upstreams: { lab: { url: "https://me:${canary}@lab" } }`,
    `upstreams: { lab: { url: "https://me:${canary}/x@lab" } }`,
    `upstreams: { lab: { endpoints: ["https://me:${canary}@lab"] } }`,
    `upstreams: { lab: { proxy: "http://me:${canary}@proxy" } }`,
    `upstreams: { lab: { auth: { password: "${canary}" "${canary}" } } }`,
    `upstreams: { lab: { auth: { password: "${canary} } }`,
    `upstreams: { lab: { auth: !!x { password: ${canary} } } }`,
    `upstreams:\n  lab:\n    auth:\n\tpassword: ${canary}`,
    `upstreams: { lab: { auth: { password: ${canary}, password: ${canary} } } }`,
    `admin: { token: ${canary} }`,
    ...[']', '|', '>', '!', '*', '&', '%', '@', '}', '!!', '"'].map((mark) => `admin:\n  token: ${mark}${canary}\n`),
  ])('are not repeated in the problem of %s', (yaml) => {
    const loaded = load(yaml);
    expect(loaded.kind).toBe('problems');
    const lines = loaded.kind === 'problems' ? loaded.problems.map(formatProblem) : [];
    expect(lines.join('\n')).not.toContain(canary);
    expect(lines.length).toBeGreaterThan(0);
  });

  it('are not in a variable’s problem', () => {
    const env = {
      WEIR_PASSWORD: canary,
      WEIR_DEFAULT_UPSTREAM: `https://me:${canary}@lab`,
      HTTPS_PROXY: `ftp://me:${canary}@proxy`,
    };
    const loaded = load('', env);
    expect(loaded.kind === 'problems' ? loaded.problems.length : 0).toBe(3);
    expect(JSON.stringify(loaded)).not.toContain(canary);
  });

  it('are not in what is shown, nor in a dump of the Config', () => {
    const loaded = load(
      'credentials: { dockerConfig: auto }\nupstreams: { lab: { auth: { username: me, passwordEnv: P } } }',
      {
        P: canary,
        DOCKER_AUTH_CONFIG: canary,
        HTTP_PROXY: `http://me:${canary}@proxy`,
        HTTPS_PROXY: `http://me:${canary}@proxy`,
      },
    );
    if (loaded.kind !== 'config') throw new Error('it loads');
    const { upstreams, credentials, proxy } = loaded.config;
    expect(upstreams.some(({ auth }) => auth?.kind === 'basic')).toBe(true);
    expect([credentials.inline?.reveal(), proxy.https?.reveal()]).toEqual([canary, `http://me:${canary}@proxy`]);
    const dumps = [
      showYaml(loaded),
      JSON.stringify(showPlain(loaded)),
      JSON.stringify(loaded.config),
      inspect(loaded.config, { depth: 20, showHidden: true }),
      inspect(loaded.config, { depth: 20, customInspect: false }),
      String(proxy.http),
    ];
    for (const dump of dumps) expect(dump).not.toContain(canary);
    expect(showYaml(loaded)).toContain('# HTTPS_PROXY=http://***@proxy');
  });
});
