/** What the README and docs/clients.md show is what `weir setup` prints. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { clients } from '../../../../src/cli/setup/programs/programs.ts';
import { tempDirectory } from '../../../support/temp.ts';
import { CommandLine } from '../../support.ts';
import { bare } from '../support.ts';

const root = resolve(import.meta.dirname, '..', '..', '..', '..');
const readme = readFileSync(resolve(root, 'README.md'), 'utf8');
const clientsDocument = readFileSync(resolve(root, 'docs', 'clients.md'), 'utf8');

/** The fenced block that comes first after a heading of a client. */
function shown(after: string, language: string, text = readme): string {
  const from = text.indexOf(after);
  const [, body] = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text.slice(from)) ?? [];
  if (from === -1 || body === undefined) throw new Error(`no ${language} after ${after}`);
  return body;
}

interface Printed {
  readonly files: readonly { readonly path: string; readonly content: string }[];
  readonly commands: readonly string[];
}

/** Where weir has the upstreams that the examples have. */
async function setup(client: string): Promise<Printed> {
  await using temp = await tempDirectory();
  const config = temp.file('weir.yaml');
  await writeFile(config, 'builtinUpstreams: false\nupstreams: { docker.io: { default: true }, ghcr.io: {} }\n');
  const line = new CommandLine();
  expect(await line.run('setup', client, '--json', '-c', config, '--url', 'http://weir.example:5000')).toBe(0);
  return JSON.parse(line.out) as Printed;
}

/** What the file with that path gets. */
async function printed(client: string, path: string): Promise<string> {
  const { files } = await setup(client);
  const found = files.find((file) => file.path === path);
  if (found === undefined) throw new Error(`${client} writes no ${path}`);
  expect(readme + clientsDocument).toContain(path);
  return found.content;
}

describe('the README', () => {
  it('shows what weir setup containerd prints', async () => {
    const hosts = await printed('containerd', '/etc/containerd/certs.d/_default/hosts.toml');
    expect(bare(shown('**containerd**', 'toml'))).toEqual(bare(hosts));
    const config = await printed('containerd', '/etc/containerd/config.toml');
    expect(shown('The directory must be named', 'toml')).toBe(config);
    expect(hosts).toContain('# server = "http://weir.example:5000"');
    expect(readme).toContain('`server = "http://weir.example:5000"`');
  });

  it('shows what weir setup docker prints', async () => {
    const content = await printed('docker', '/etc/docker/daemon.json');
    expect(JSON.parse(shown('**Docker**', 'json'))).toEqual(JSON.parse(content));
  });

  it('shows what weir setup podman prints', async () => {
    const content = await printed('podman', '/etc/containers/registries.conf.d/weir.conf');
    expect(bare(shown('**Podman', 'toml'))).toEqual(bare(content));
  });

  it('shows what weir setup k3s prints', async () => {
    const content = await printed('k3s', '/etc/rancher/k3s/registries.yaml');
    expect(parse(shown('**k3s', 'yaml'))).toEqual(parse(content));
  });

  it('names every client, as the table of commands.md does', () => {
    const commands = readFileSync(resolve(root, 'docs', 'commands.md'), 'utf8');
    expect(clients.length).toBeGreaterThan(10);
    for (const { name, aliases } of clients) {
      expect(readme).toContain(name);
      expect(commands, name).toMatch(new RegExp(`^\\|.*\`${name}\``, 'm'));
      expect(aliases.every((alias) => alias !== name)).toBe(true);
    }
  });
});

describe('docs/clients.md', () => {
  it('shows what weir setup buildkit prints', async () => {
    const content = await printed('buildkit', '/etc/buildkit/buildkitd.toml');
    expect(bare(shown('### BuildKit', 'toml', clientsDocument))).toEqual(bare(content));
  });

  it('shows what weir setup k3s prints', async () => {
    const content = await printed('k3s', '/etc/rancher/k3s/registries.yaml');
    expect(parse(shown('### k3s', 'yaml', clientsDocument))).toEqual(parse(content));
  });

  it('shows what weir setup homebrew prints', async () => {
    const { files } = await setup('homebrew');
    expect(files.map(({ content }) => `export ${content}`)).toEqual([shown('### Homebrew', 'sh', clientsDocument)]);
  });

  it('names the flags and the files of the others', async () => {
    const kaniko = shown('### Kaniko', 'sh', clientsDocument);
    for (const flag of (await setup('kaniko')).commands) expect(kaniko).toContain(flag.split('=')[0]);
    expect(kaniko).toContain('index.docker.io=weir.example:5000/docker.io');
    expect((await setup('kaniko')).commands[0]).toContain('index.docker.io=weir.example:5000/docker.io');
    const [kind] = (await setup('kind')).files;
    expect(clientsDocument).toContain(kind?.path);
  });
});
