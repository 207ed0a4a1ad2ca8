/** docs/clients.md says of every client how it is tested. The suites say the same. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { built, debian, optional, own } from './e2e/programs.ts';

const root = resolve(import.meta.dirname, '..');
const text = readFileSync(join(root, 'docs', 'clients.md'), 'utf8');

interface Row {
  readonly client: string;
  readonly version: string;
  readonly how: string;
}

/** The rows of the tables with five columns. */
const rows: readonly Row[] = text
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter((cells) => cells.length === 7 && cells[1] !== 'Client' && !/^-+$/.test(cells[1] ?? ''))
  .map(([, client = '', , , version = '', how = '']) => ({ client, version, how }));

/** The row of each program of the suite that is a client. */
const rowOf: Readonly<Record<string, string>> = {
  skopeo: 'skopeo',
  podman: 'Podman',
  buildah: 'Buildah',
  umoci: 'umoci',
  containerd1: 'containerd 1.6',
  ctr1: 'containerd 1.6',
  dockerd: 'dockerd',
  docker: 'dockerd',
  crane: 'crane',
  helm: 'Helm 3',
  containerd2: 'containerd 2',
  ctr2: 'containerd 2',
  regctl: 'regctl',
  orasPython: 'oras for Python',
  devcontainer: 'Dev Container CLI',
  helm4: 'Helm 4',
  conftest: 'conftest',
  cosign2: 'cosign 2',
  cosign3: 'cosign 3',
  crictl: 'containerd 2',
  gator: 'gator',
  ollama: 'Ollama',
  buildkitd: 'BuildKit',
  buildctl: 'BuildKit',
  compose: 'Docker Compose',
  wkg: 'wkg',
  dmr: 'Docker Model Runner',
  mdltool: 'Docker Model Runner',
  rasterio: 'GDAL, rasterio',
  orasClient: 'oras-go',
  stargzClient: 'stargz-snapshotter',
  oras: 'oras CLI',
};
/** Registries, what the clients need, and the specification's own suite. */
const noClients = [
  'conformance',
  'distribution2',
  'gpg',
  'gpgAgent',
  'distribution3',
  'referrersRegistry',
  'zot',
  'runc',
  'busybox',
  'debootstrap',
  'shim2',
];

function row(client: string): Row {
  const found = rows.filter((one) => one.client === client);
  if (found[0] === undefined || found.length > 1) throw new Error(`${found.length} rows of ${client}`);
  return found[0];
}

describe('docs/clients.md', () => {
  it('has a row for each client, which says how it is tested', () => {
    expect(rows.length).toBeGreaterThan(40);
    expect(rows.filter(({ how }) => !/^run$|^(run, )?replayed: `[^`]+`$/.test(how))).toEqual([]);
    expect(rows.filter(({ version }) => version === '')).toEqual([]);
  });

  it('has the programs of the end-to-end suite, with their versions', () => {
    const programs = [debian, built, own, optional].flatMap((group) => Object.keys(group));
    expect(programs.toSorted()).toEqual([...Object.keys(rowOf), ...noClients].toSorted());
    for (const [program, client] of Object.entries(rowOf)) {
      const { how, version } = row(client);
      expect([client, how]).toEqual([client, expect.stringMatching(/^run\b/)]);
      const versions = version.split(/[, ]+/);
      if (program in built) {
        expect([client, ...versions]).toContain(built[program as keyof typeof built].version.replace(/^v/, ''));
      } else if (program in debian) {
        const pattern: RegExp = debian[program as keyof typeof debian].versions;
        expect([client, versions.some((one) => pattern.test(one))]).toEqual([client, true]);
      }
    }
  });

  it('claims to run only what the suite runs', () => {
    const run = rows.filter(({ how }) => how.startsWith('run')).map(({ client }) => client);
    // Scenarios of their own, by programs that have a row already.
    const more = [
      'Podman with zstd:chunked',
      'containerd 2 in parallel',
      'Kubernetes image volumes',
      'Docker volumes as images',
      'KServe modelcars',
      'Models of whisper.cpp',
      'Earth observation',
    ];
    expect(new Set(run)).toEqual(new Set([...Object.values(rowOf), ...more]));
  });

  it('names each replay, and none that does not exist', () => {
    const replays = readdirSync(join(root, 'test', 'clients')).filter((name) => name.endsWith('.test.ts'));
    expect(replays.length).toBeGreaterThan(20);
    const named = [...text.matchAll(/`(test\/clients\/[^`]+)`/g)].map(([, path = '']) => path);
    expect(replays.filter((name) => !named.includes(`test/clients/${name}`))).toEqual([]);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('says of every client that is replayed only why it does not run', () => {
    const [, section = ''] = text.split('\n## Replayed only\n');
    const reasons = section.split('\n## ')[0] ?? '';
    const replayed = rows.filter(({ how }) => how.startsWith('replayed'));
    expect(replayed.length).toBeGreaterThan(15);
    const names = replayed.flatMap(({ client }) => client.split(', '));
    const excused = [...reasons.matchAll(/^\| ([^|]+?) +\|/gm)].flatMap(([, cell = '']) => cell.split(', '));
    expect(names.filter((name) => !excused.includes(name))).toEqual([]);
    expect(excused.filter((name) => name !== 'Client' && !/^-+$/.test(name) && !names.includes(name))).toEqual([]);
  });
});
