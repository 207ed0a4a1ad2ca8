import { lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testCertificate, testKey } from '../../support/tls.ts';
import { tempDirectory } from '../../support/temp.ts';
import { CommandLine } from '../support.ts';

const daemonJson = 'etc/docker/daemon.json';
const docker = ['setup', 'docker', '--url', 'http://weir.example:5000', '--write'];

async function save(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text, { mode });
}

describe('weir setup', () => {
  it('prints a file with its path, and what to do afterwards', async () => {
    const line = new CommandLine();
    expect(await line.run('setup', 'k3s', '--url', 'http://weir.example:5000')).toBe(0);
    expect(line.out).toBe(
      '# k3s through weir at http://weir.example:5000\n' +
        '# On every node. To allow no way around weir, start it with --disable-default-registry-endpoint.\n' +
        '\n' +
        '# /etc/rancher/k3s/registries.yaml\n' +
        '# Written by weir setup k3s, which also replaces it.\n' +
        'mirrors:\n' +
        '  "*":\n' +
        '    endpoint:\n' +
        '      - "http://weir.example:5000"\n' +
        '\n' +
        '# Then:\n' +
        '#   systemctl restart k3s # on agents: k3s-agent\n',
    );
    expect(line.err).toBe('');
  });

  it('prints JSON', async () => {
    const line = new CommandLine();
    expect(await line.run('setup', 'homebrew', '--json')).toBe(0);
    expect(JSON.parse(line.out)).toMatchObject({
      client: 'homebrew',
      url: 'http://127.0.0.1:5000',
      files: [
        { path: '/etc/homebrew/brew.env', content: 'HOMEBREW_ARTIFACT_DOMAIN=http://127.0.0.1:5000/v2/ghcr.io\n' },
      ],
    });
  });

  it.each([
    ['127.0.0.1:5000', 'http://127.0.0.1:5000'],
    ['[::1]:80', 'http://[::1]'],
    ['10.0.0.5:5000', 'http://10.0.0.5:5000'],
    ['weir.lab:443', 'http://weir.lab:443'],
  ])('takes the listener %s for %s', async (listen, origin) => {
    const line = new CommandLine({ env: { WEIR_LISTEN: listen } });
    expect(await line.run('setup', 'containerd')).toBe(0);
    expect(line.out).toContain(`[host."${origin}"]`);
  });

  it('takes the name of the machine where weir listens on every address, and says so', async () => {
    const line = new CommandLine({ env: { WEIR_LISTEN: '0.0.0.0:5000' } });
    expect(await line.run('setup', 'containerd')).toBe(0);
    expect(line.out).toContain('weir listens on every address');
    expect(line.out).not.toContain('0.0.0.0');
  });

  it('trusts a certificate that signed itself, without showing its key', async () => {
    await using temp = await tempDirectory();
    await save(temp.file('all.pem'), testKey + testCertificate);
    await save(temp.file('weir.yaml'), `tls: { cert: ${temp.file('all.pem')}, key: ${temp.file('all.pem')} }\n`);
    const line = new CommandLine();
    expect(await line.run('setup', 'podman', '-c', temp.file('weir.yaml'), '--url', 'https://weir.example:5000')).toBe(
      0,
    );
    expect(line.out).toContain('/etc/containers/certs.d/weir.example:5000/ca.crt');
    expect(line.out).toContain(testCertificate.trim());
    expect(line.out).not.toContain('PRIVATE');
    const named = new CommandLine();
    const ca = ['--ca', temp.file('all.pem')];
    expect(await named.run('setup', 'containerd', '--url', 'https://weir.example', ...ca)).toBe(0);
    expect(named.out).toContain(`ca = "${temp.file('all.pem')}"`);
  });

  it('knows one upstream of several', async () => {
    const line = new CommandLine();
    expect(await line.run('setup', 'podman', '--upstream', 'QUAY.io')).toBe(0);
    expect(line.out.match(/^prefix = .*$/gm)).toEqual(['prefix = "quay.io"']);
  });

  it.each([
    [['setup'], 'weir setup needs a client: weir knows containerd, docker, podman, cri-o, k3s, rke2'],
    [['setup', 'contanerd'], 'unknown client "contanerd"; did you mean containerd? (weir knows containerd'],
    [['setup', 'docker', '--upstream', 'gcr.oi'], 'unknown upstream "gcr.oi"; did you mean gcr.io?'],
    [['setup', 'docker', '--url', 'weir:5000'], '--url weir:5000: write a URL'],
    [['setup', 'docker', '--url', 'http://u:p@weir'], 'must not hold a user or password'],
    [['setup', 'docker', '--url', 'http://weir/cache'], 'clients need weir at the root'],
    [['setup', 'docker', '--yes'], '--yes makes no sense without --write'],
    [['setup', 'docker', '--url', 'https://weir', '--ca', '/nowhere'], '/nowhere: there is no such file'],
    [['setup', 'docker', '--url', 'http://weir', '--ca', '/nowhere'], '--ca makes no sense with http://weir'],
    [['setup', 'helm', '--write', '--yes'], 'there is nothing to write for helm'],
  ])('%j is exit code 2', async (argv, message) => {
    const line = new CommandLine();
    expect(await line.run(...argv)).toBe(2);
    expect(line.err).toContain(message);
    expect(line.out).toBe('');
  });

  it('needs a port that clients can use', async () => {
    const line = new CommandLine({ env: { WEIR_LISTEN: '127.0.0.1:0' } });
    expect(await line.run('setup', 'docker')).toBe(2);
    expect(line.err).toContain('say --url');
  });
});

describe('weir setup --write', () => {
  it('merges, keeps the old file, its mode and everything else in it, and changes nothing a second time', async () => {
    await using temp = await tempDirectory();
    const path = temp.file(daemonJson);
    await save(path, '{ "log-level": "warn" }\n', 0o600);
    const line = new CommandLine();
    expect(await line.run(...docker, '--yes', '--root', temp.path)).toBe(0);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      'log-level': 'warn',
      'registry-mirrors': ['http://weir.example:5000'],
      'insecure-registries': ['weir.example:5000'],
    });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(line.out).toContain('+  "registry-mirrors": [\n');
    expect(line.out).toContain(`wrote ${path}; the old one is ${path}.before-weir-`);
    expect(line.out).toContain('systemctl restart docker');
    const names = await readdir(dirname(path));
    expect(names).toHaveLength(2);
    const backup = names.find((name) => name.startsWith('daemon.json.before-weir-')) ?? '';
    expect(await readFile(temp.file('etc/docker', backup), 'utf8')).toBe('{ "log-level": "warn" }\n');

    const before = await stat(path);
    const again = new CommandLine();
    expect(await again.run(...docker, '--root', temp.path)).toBe(0);
    expect(again.out).toBe('nothing to change\n');
    expect((await stat(path)).mtimeMs).toBe(before.mtimeMs);
    expect(await readdir(dirname(path))).toHaveLength(2);
  });

  it('asks at a terminal, and writes only after a yes', async () => {
    await using temp = await tempDirectory();
    const no = new CommandLine({ answer: false });
    expect(await no.run(...docker, '--root', temp.path)).toBe(1);
    expect(no.questions).toEqual(['Write this?']);
    expect(no.err).toBe('weir: nothing was written\n');
    expect(await readdir(temp.path)).toEqual([]);
    const yes = new CommandLine({ answer: true });
    expect(await yes.run(...docker, '--root', temp.path)).toBe(0);
    expect(await readdir(temp.file('etc/docker'))).toEqual(['daemon.json']);
  });

  it('refuses without a terminal, unless told not to ask', async () => {
    await using temp = await tempDirectory();
    const line = new CommandLine();
    expect(await line.run(...docker, '--root', temp.path)).toBe(2);
    expect(line.out).toContain('+++ ');
    expect(line.err).toContain('there is no terminal to ask at, so say --yes');
    expect(await readdir(temp.path)).toEqual([]);
  });

  it('leaves what is somebody else’s alone, writes the rest, and says what is left', async () => {
    await using temp = await tempDirectory();
    const config = temp.file('etc/containerd/config.toml');
    await save(config, 'version = 2\n');
    const argv = ['setup', 'containerd', '--write', '--yes', '--root', temp.path];
    const line = new CommandLine();
    expect(await line.run(...argv)).toBe(1);
    expect(line.out).toContain('weir does not edit this file: add this by hand\n    version = 2\n');
    expect(line.err).toBe(`weir: left to do by hand: ${config}\n`);
    expect(await readFile(config, 'utf8')).toBe('version = 2\n');
    expect(await readFile(temp.file('etc/containerd/certs.d/_default/hosts.toml'), 'utf8')).toContain('[host.');
    await save(config, 'version = 2\nconfig_path = "/etc/containerd/certs.d"\n');
    const done = new CommandLine();
    expect(await done.run(...argv)).toBe(0);
    expect(done.out).toBe('nothing to change\n');
  });

  it('replaces its own file, and not one of somebody else under that name', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('etc/rancher/k3s/registries.yaml');
    const argv = ['setup', 'k3s', '--write', '--yes', '--json', '--root', temp.path];
    const first = new CommandLine();
    expect(await first.run(...argv)).toBe(0);
    expect(JSON.parse(first.out)).toMatchObject({ files: [{ path, result: 'written' }] });
    const moved = new CommandLine();
    expect(await moved.run(...argv, '--url', 'http://other:5000')).toBe(0);
    expect(await readFile(path, 'utf8')).toContain('http://other:5000');
    await save(path, 'mirrors: {}\n');
    const refused = new CommandLine();
    expect(await refused.run(...argv)).toBe(1);
    expect(JSON.parse(refused.out)).toMatchObject({ files: [{ path, result: 'conflict' }] });
    expect(await readFile(path, 'utf8')).toBe('mirrors: {}\n');
  });

  it('knows its own text where that was redirected into the file', async () => {
    await using temp = await tempDirectory();
    const printed = new CommandLine();
    expect(await printed.run('setup', 'podman')).toBe(0);
    await save(temp.file('etc/containers/registries.conf.d/weir.conf'), printed.out);
    const line = new CommandLine();
    expect(await line.run('setup', 'podman', '--write', '--yes', '--root', temp.path)).toBe(0);
    expect(line.out).toContain('wrote ');
  });

  it('follows a link as the client does, and never out of the root', async () => {
    await using temp = await tempDirectory();
    await save(temp.file('root/etc/shared.json'), '{}\n');
    await mkdir(temp.file('root/etc/docker'));
    await symlink('../shared.json', temp.file('root', daemonJson));
    const line = new CommandLine();
    expect(await line.run(...docker, '--yes', '--root', temp.file('root'))).toBe(0);
    expect((await lstat(temp.file('root', daemonJson))).isSymbolicLink()).toBe(true);
    expect(await readFile(temp.file('root/etc/shared.json'), 'utf8')).toContain('registry-mirrors');

    await save(temp.file('outside.json'), '{}\n');
    await mkdir(temp.file('other/etc/docker'), { recursive: true });
    await symlink(temp.file('outside.json'), temp.file('other', daemonJson));
    const out = new CommandLine();
    expect(await out.run(...docker, '--yes', '--root', temp.file('other'))).toBe(1);
    expect(out.err).toContain('leads out of');
    expect(await readFile(temp.file('outside.json'), 'utf8')).toBe('{}\n');
  });
});
