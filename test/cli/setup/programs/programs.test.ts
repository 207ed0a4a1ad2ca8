import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { SetupError } from '../../../../src/cli/setup/contract/client-setup.ts';
import { clients, findClient } from '../../../../src/cli/setup/programs/programs.ts';
import { bare, contentOf, ghcr, hub, lab, linesOf, local, port, secured, setupOf } from '../support.ts';

const certs = '/etc/containerd/certs.d';

describe('weir setup', () => {
  it('knows each client by one name, and programs that read the same files by theirs', () => {
    const names = clients.flatMap(({ name, aliases }) => [name, ...aliases]);
    expect(clients.length).toBe(13);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(findClient(name.toUpperCase())).toBeDefined();
    expect(findClient('skopeo')?.name).toBe('podman');
    expect(findClient('zot')).toBeUndefined();
  });

  it('names absolute paths, and no path twice', () => {
    let seen = 0;
    for (const { name } of clients.filter((client) => client.name !== 'ollama')) {
      const paths = setupOf(name, { listener: secured }).files.map(({ path }) => path);
      expect(paths.every((path) => path.startsWith('/'))).toBe(true);
      expect(new Set(paths).size).toBe(paths.length);
      seen += paths.length;
    }
    expect(seen).toBeGreaterThan(10);
  });

  it('says how to reach an upstream whose name is no registry, wherever names are all there is', () => {
    for (const client of ['containerd', 'podman', 'cri-o', 'k3s', 'buildkit', 'kaniko']) {
      expect(setupOf(client).notes.join('\n'), client).toContain('weir.example:5000/lab/NAME');
    }
    for (const client of ['podman', 'buildkit', 'kaniko']) {
      expect(() => setupOf(client, { upstreams: [lab] }), client).toThrow(SetupError);
    }
  });

  it('warns where a container would look for weir on its own loopback', () => {
    for (const client of ['kind', 'buildkit', 'kaniko']) {
      expect(setupOf(client, { listener: local }).notes.join('\n'), client).toContain('loopback');
      expect(setupOf(client).notes.join('\n'), client).not.toContain('loopback');
    }
  });
});

describe('weir setup containerd', () => {
  it('covers every registry with one file', () => {
    const setup = setupOf('containerd');
    expect(setup.files.map(({ path }) => path)).toEqual([
      `${certs}/_default/hosts.toml`,
      '/etc/containerd/config.toml',
    ]);
    expect(linesOf(setup, `${certs}/_default/hosts.toml`)).toEqual([
      '[host."http://weir.example:5000"]',
      'capabilities = ["pull", "resolve"]',
    ]);
  });

  it('covers one registry when one is asked for, and names the authority', () => {
    const setup = setupOf('containerd', { upstreams: [port], isLimited: true, listener: secured });
    expect(linesOf(setup, `${certs}/registry.example:5001/hosts.toml`)).toEqual([
      '[host."https://weir.example"]',
      'capabilities = ["pull", "resolve"]',
      'ca = "/etc/ssl/weir.pem"',
    ]);
    expect(() => setupOf('containerd', { upstreams: [lab], isLimited: true })).toThrow('no registry');
  });

  it.each([
    ['config_path = "/etc/containerd/certs.d"', true],
    ["      config_path = '/etc/containerd/certs.d/'", true],
    ['config_path = "/etc/containerd/certs.d:/etc/docker/certs.d"', true],
    ['config_path = "/etc/docker/certs.d:/etc/containerd/certs.d"', true],
    ['config_path = ""', false],
    ['# config_path = "/etc/containerd/certs.d"', false],
    ['config_path = "/etc/containerd/certs.dir"', false],
    ['config_path = "/opt/etc/containerd/certs.d"', false],
  ])('sees in config.toml whether %s is enough: %s', (line, isThere) => {
    const content = contentOf(setupOf('containerd'), '/etc/containerd/config.toml');
    expect(content.kind === 'part' && content.isThere.test(`version = 2\n${line}\n`)).toBe(isThere);
  });

  it('gives kind the same file, and the commands that carry it into the nodes', () => {
    const kind = setupOf('kind', { upstreams: [ghcr], isLimited: true });
    const path = `${certs}/ghcr.io/hosts.toml`;
    expect(linesOf(kind, path)).toEqual(linesOf(setupOf('containerd', { upstreams: [ghcr], isLimited: true }), path));
    expect(kind.commands.join('\n')).toContain('weir setup kind --url http://weir.example:5000 --upstream ghcr.io |');
  });
});

describe('weir setup docker', () => {
  const daemonJson = '/etc/docker/daemon.json';

  it('mirrors Docker Hub, and allows plain http for the rest', () => {
    expect(contentOf(setupOf('docker'), daemonJson)).toEqual({
      kind: 'json',
      lists: { 'registry-mirrors': ['http://weir.example:5000'], 'insecure-registries': ['weir.example:5000'] },
    });
  });

  it('needs no leave for loopback, which dockerd trusts by itself', () => {
    expect(contentOf(setupOf('docker', { listener: local }), daemonJson)).toEqual({
      kind: 'json',
      lists: { 'registry-mirrors': ['http://127.0.0.1:5000'] },
    });
  });

  it('puts the authority where dockerd looks for it', () => {
    const setup = setupOf('docker', { listener: secured });
    expect(contentOf(setup, daemonJson)).toEqual({
      kind: 'json',
      lists: { 'registry-mirrors': ['https://weir.example'] },
    });
    expect(linesOf(setup, '/etc/docker/certs.d/weir.example/ca.crt')[0]).toBe('-----BEGIN CERTIFICATE-----');
  });

  it('sets no mirror where somebody else than Docker Hub would answer', () => {
    const others = { upstreams: [{ ...hub, isDefault: false }, ghcr] };
    const setup = setupOf('docker', others);
    expect(contentOf(setup, daemonJson)).toEqual({
      kind: 'json',
      lists: { 'insecure-registries': ['weir.example:5000'] },
    });
    expect(setup.notes.join('\n')).toContain('docker.io must be the default upstream');
    expect(() => setupOf('docker', { upstreams: [{ ...hub, isDefault: false }] })).toThrow(SetupError);
  });
});

describe('weir setup podman and cri-o', () => {
  const conf = '/etc/containers/registries.conf.d/weir.conf';

  it('give each registry a mirror that names the upstream, a port with a dash', () => {
    const expected = [hub, ghcr, port].flatMap(({ key }) => [
      '[[registry]]',
      `prefix = "${key}"`,
      `location = "${key}"`,
      '[[registry.mirror]]',
      `location = "weir.example:5000/${key.replace(':', '-')}"`,
      'insecure = true',
    ]);
    expect(linesOf(setupOf('podman'), conf)).toEqual(expected);
    expect(linesOf(setupOf('cri-o'), conf)).toEqual(expected);
  });

  it('check certificates where weir has one', () => {
    const setup = setupOf('podman', { listener: secured, upstreams: [ghcr] });
    expect(linesOf(setup, conf)).not.toContain('insecure = true');
    expect(linesOf(setup, '/etc/containers/certs.d/weir.example/ca.crt')).toHaveLength(3);
  });
});

describe('weir setup k3s and rke2', () => {
  it.each(['k3s', 'rke2'])('%s gets YAML with one endpoint for all', (name) => {
    const content = contentOf(setupOf(name), `/etc/rancher/${name}/registries.yaml`);
    expect(content.kind === 'own' && parse(content.text)).toEqual({
      mirrors: { '*': { endpoint: ['http://weir.example:5000'] } },
    });
  });

  it('or for one, with the authority', () => {
    const setup = setupOf('k3s', { listener: secured, upstreams: [port], isLimited: true });
    const content = contentOf(setup, '/etc/rancher/k3s/registries.yaml');
    expect(content.kind === 'own' && parse(content.text)).toEqual({
      mirrors: { 'registry.example:5001': { endpoint: ['https://weir.example'] } },
      configs: { 'weir.example': { tls: { ca_file: '/etc/ssl/weir.pem' } } },
    });
  });
});

describe('weir setup buildkit', () => {
  it('mirrors each registry, and says how weir is spoken to', () => {
    expect(linesOf(setupOf('buildkit', { upstreams: [hub, port] }), '/etc/buildkit/buildkitd.toml')).toEqual([
      '[registry."docker.io"]',
      'mirrors = ["weir.example:5000"]',
      '[registry."registry.example:5001"]',
      'mirrors = ["weir.example:5000"]',
      '[registry."weir.example:5000"]',
      'http = true',
    ]);
    const tls = setupOf('buildkit', { upstreams: [hub], listener: secured });
    expect(linesOf(tls, '/etc/buildkit/buildkitd.toml').slice(-2)).toEqual([
      '[registry."weir.example"]',
      'ca = ["/etc/ssl/weir.pem"]',
    ]);
    const known = setupOf('buildkit', { upstreams: [hub], listener: { ...secured, ca: undefined } });
    expect(linesOf(known, '/etc/buildkit/buildkitd.toml')).toHaveLength(2);
  });
});

describe('weir setup for clients without a mirror setting', () => {
  it('helm and oras', () => {
    expect(setupOf('helm').commands).toEqual([
      'helm pull oci://weir.example:5000/ghcr.io/ORG/CHART --version VERSION --plain-http',
    ]);
    expect(setupOf('oras', { upstreams: [port] }).commands).toEqual([
      'oras pull --plain-http weir.example:5000/registry.example-5001/ORG/ARTIFACT:TAG',
    ]);
    expect(setupOf('helm', { listener: secured }).commands[0]).toContain(' --ca-file /etc/ssl/weir.pem');
    expect(setupOf('oras', { listener: { ...secured, ca: undefined } }).commands[0]).not.toContain('--');
  });

  it('homebrew', () => {
    expect(contentOf(setupOf('homebrew'), '/etc/homebrew/brew.env')).toEqual({
      kind: 'variables',
      set: { HOMEBREW_ARTIFACT_DOMAIN: 'http://weir.example:5000/v2/ghcr.io' },
    });
    expect(() => setupOf('homebrew', { upstreams: [hub] })).toThrow('ghcr.io');
  });

  it('kaniko', () => {
    expect(setupOf('kaniko', { upstreams: [hub, port] }).commands).toEqual([
      '--registry-map="index.docker.io=weir.example:5000/docker.io;' +
        'registry.example:5001=weir.example:5000/registry.example-5001"',
      '--insecure-registry=weir.example:5000',
    ]);
    expect(setupOf('kaniko', { upstreams: [hub], listener: secured }).commands.slice(1)).toEqual([
      '--registry-certificate=weir.example=/etc/ssl/weir.pem',
    ]);
  });

  it('ollama, by the default upstream, or by a host of its own', () => {
    const models = { key: 'registry.ollama.ai', isDefault: false, hosts: ['ollama.weir.example'], isHub: false };
    expect(setupOf('ollama', { upstreams: [hub, models] }).commands).toEqual([
      'ollama pull http://ollama.weir.example:5000/library/MODEL:TAG --insecure',
    ]);
    expect(setupOf('ollama', { upstreams: [{ ...models, hosts: ['m.example:80'] }] }).commands).toEqual([
      'ollama pull http://m.example:80/library/MODEL:TAG --insecure',
    ]);
    const isDefault = { upstreams: [{ ...models, hosts: [], isDefault: true }], listener: secured };
    expect(setupOf('ollama', isDefault).commands).toEqual(['ollama pull https://weir.example/library/MODEL:TAG']);
    expect(() => setupOf('ollama')).toThrow('registry.ollama.ai');
  });
});

it('comments are no settings', () => {
  expect(bare('# a\nb = 1 # c\n\n')).toEqual(['b = 1']);
});
