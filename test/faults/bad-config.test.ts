import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TempDirectory, tempDirectory } from '../support/temp.ts';
import { Daemon, freePort } from './support/daemon.ts';
import { runProgram } from './support/program.ts';

let directory: TempDirectory;

beforeAll(async () => {
  directory = await tempDirectory('weir-bad-config');
});
afterAll(() => directory?.[Symbol.asyncDispose]());

/** A file, and what the explanation has to name: the key (or the place), and what was found there. */
const files: readonly (readonly [name: string, yaml: string, ...named: readonly string[]])[] = [
  ['an unknown key', 'lissten: 127.0.0.1:5000', 'lissten', 'listen'],
  ['an unknown key deep inside', 'upstreams: { lab: { url: http://x, tag: { ttl: 0s } } }', 'upstreams.lab.tag'],
  ['a size without a unit that is one', 'cache: { maxSize: 50 GB of disk }', 'cache.maxSize', '50 GB of disk'],
  ['a size below what is useful', 'cache: { maxSize: 5 }', 'cache.maxSize', '5'],
  ['a negative size', 'cache: { maxSize: -1 }', 'cache.maxSize', '-1'],
  ['more than everything', 'cache: { minFree: 120% }', 'cache.minFree', '120%'],
  ['all of the disk kept free', 'cache: { minFree: 100% }', 'cache.minFree', '100%'],
  ['a duration that is none', 'tags: { ttl: soon }', 'tags.ttl', 'soon'],
  ['a listener without a port', 'listen: localhost', 'listen', 'localhost'],
  ['a port that is none', 'listen: 127.0.0.1:99999', 'listen', '99999'],
  ['an address that is none', 'listen: "300.1.1.1:5000"', 'listen', '300.1.1.1'],
  ['a URL that is none', 'upstreams: { lab: { url: "::" } }', 'upstreams.lab.url', '::'],
  ['a URL of another scheme', 'upstreams: { lab: { url: "ftp://x" } }', 'upstreams.lab.url', 'ftp'],
  ['a key that is no host', 'upstreams: { "a/b": {} }', 'a/b'],
  [
    'two defaults',
    'upstreams: { a: { url: http://a, default: true }, b: { url: http://b, default: true } }',
    'default',
  ],
  ['a level that is none', 'log: { level: loud }', 'log.level', 'loud'],
  ['a truth that is none', 'offline: perhaps', 'offline', 'perhaps'],
  ['a list for a text', 'listen: [a, b]', 'listen'],
  ['a text for a group', 'cache: big', 'cache', 'big'],
  ['a list at the top', '- a\n- b', 'weir.yaml'],
  ['no YAML', 'a: [b\n  c: {', 'weir.yaml'],
  ['a key twice', 'offline: true\noffline: false', 'weir.yaml:2'], // the line is enough,
  ['a billion laughs', 'a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]', 'weir.yaml'],
  ['a file that is too large', `# ${'x'.repeat(200_000)}`, 'weir.yaml', '128 KiB'],
  [
    'a password in the file',
    'upstreams: { lab: { url: http://x, auth: { username: me, password: hunter2 } } }',
    'upstreams.lab.auth.password',
  ],
  ['user info in a URL', 'upstreams: { lab: { url: "http://me:hunter2@x" } }', 'upstreams.lab.url'],
  ['a threads count that is none', 'serve: { threads: many }', 'serve.threads', 'many'],
  ['an access that is none', 'upstreams: { lab: { url: http://x, access: some } }', 'upstreams.lab.access', 'some'],
];

const variables: readonly (readonly [name: string, variable: string, value: string])[] = [
  ['an unknown variable', 'WEIR_LISSTEN', '127.0.0.1:5000'],
  ['a variable with a bad value', 'WEIR_TAGS_TTL', 'soon'],
  ['a bad size', 'WEIR_CACHE_MAX_SIZE', 'huge'],
  ['a bad listener', 'WEIR_ADMIN_LISTEN', 'nowhere'],
  ['a bad default upstream', 'WEIR_DEFAULT_UPSTREAM', 'ftp://x'],
  ['a bad truth', 'WEIR_OFFLINE', 'perhaps'],
  ['a file that is not there', 'WEIR_CONFIG', '/nowhere/weir.yaml'],
];

describe('a configuration with one thing wrong', () => {
  it.each(files)('%s: code 2, and a line that names it', async (name, yaml, ...named) => {
    const cwd = directory.file(name);
    mkdirSync(cwd);
    writeFileSync(`${cwd}/weir.yaml`, yaml);
    for (const args of [
      ['serve', '--config', 'weir.yaml'],
      ['config', 'check', '--config', 'weir.yaml'],
    ]) {
      const { code, err } = await runProgram(args, { cwd });
      expect(err.length).toBeLessThan(2000);
      for (const word of named) expect(err).toContain(word);
      expect(err).not.toMatch(/hunter2|\n +at /);
      expect(code).toBe(2);
    }
  });

  it.each(variables)('%s: code 2, and a line that names it', async (_, variable, value) => {
    const { code, err } = await runProgram(['serve'], { cwd: directory.path, env: { [variable]: value } });
    expect(err).toContain(variable === 'WEIR_CONFIG' ? value : variable);
    expect(err).not.toContain('\n    at ');
    expect(code).toBe(2);
  });

  it('there were more than twenty', () => expect(files.length + variables.length).toBeGreaterThan(30));
});

describe('what only shows at the start', () => {
  const yaml = async (extra: object): Promise<string> =>
    JSON.stringify({
      listen: `127.0.0.1:${await freePort()}`,
      admin: { listen: `127.0.0.1:${await freePort()}` },
      ...extra,
    });

  it('a second daemon on the same root or the same port: code 1, and a line that says so', async () => {
    await using first = await Daemon.start({ directory: directory.file('first'), upstreams: {} });
    const cases = [
      ['root', await yaml({ cache: { root: first.root } }), first.root],
      [
        'port',
        await yaml({ listen: `127.0.0.1:${first.port}`, cache: { root: directory.file('other') } }),
        String(first.port),
      ],
      [
        'admin',
        await yaml({ admin: { listen: `127.0.0.1:${first.adminPort}` }, cache: { root: directory.file('third') } }),
        String(first.adminPort),
      ],
    ] as const;
    for (const [name, text, named] of cases) {
      const file = directory.file(`second-${name}.yaml`);
      writeFileSync(file, text);
      const { code, out, err } = await runProgram(['serve', '--config', file], { cwd: directory.path });
      expect(err).toContain(named);
      expect(err.trim().split('\n')).toHaveLength(1);
      expect(err + out).not.toMatch(/\n +at |defect/);
      expect(code).toBe(1);
    }
    expect((await fetch(`${first.url}/v2/`)).status).toBe(200);
    expect(await first.stop()).toBe(0);
  });

  it.each([
    ['a root that is a file', 'file'],
    ['a root that holds something else', 'foreign'],
    ['a root of a later version', 'future'],
  ])('%s: code 1, and a line that names it', async (_, kind) => {
    const root = directory.file(`root-${kind}`);
    if (kind === 'file') writeFileSync(root, 'hello');
    else mkdirSync(`${root}/weir`, { recursive: true });
    if (kind === 'foreign') {
      mkdirSync(directory.file('photos'));
      writeFileSync(directory.file('photos', 'a.jpg'), 'x');
    }
    if (kind === 'future') writeFileSync(`${root}/weir/version`, '999\n');
    const used = kind === 'foreign' ? directory.file('photos') : root;
    const file = directory.file(`${kind}.yaml`);
    writeFileSync(file, await yaml({ cache: { root: used } }));
    const { code, out, err } = await runProgram(['serve', '--config', file], { cwd: directory.path });
    expect(err).toContain(used);
    expect(err + out).not.toMatch(/\n +at |defect/);
    expect(code).toBe(1);
  });

  it('a root that may not be written: code 1, and a line that names it', async () => {
    const parent = directory.file('locked');
    mkdirSync(parent);
    chmodSync(parent, 0o500);
    // Mode bits do not stop the superuser; this does.
    const isSuperuser = process.getuid?.() === 0;
    if (isSuperuser) execFileSync('chattr', ['+i', parent]);
    using _unlock = { [Symbol.dispose]: () => void (isSuperuser && execFileSync('chattr', ['-i', parent])) };
    const file = directory.file('locked.yaml');
    writeFileSync(file, await yaml({ cache: { root: `${parent}/cache` } }));
    const { code, err } = await runProgram(['serve', '--config', file], { cwd: directory.path });
    expect(err).toContain(parent);
    expect(code).toBe(1);
  });
});
