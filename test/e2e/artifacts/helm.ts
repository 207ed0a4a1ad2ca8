/** Helm 3 and 4: signed charts with provenance, versions resolved from the list of tags, dependencies. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { run } from '../process.ts';
import { expectMatch, expectSame, homeIn, type Bench, type Tool } from './tool.ts';

const signer = 'weir e2e <weir@example.test>';
const versions = ['0.1.0', '0.1.5', '0.2.0'] as const;

interface Keyrings {
  readonly publicRing: string;
  readonly secretRing: string;
}

/** A throw-away key, exported the way Helm reads keyrings (GnuPG 1's format). */
async function makeKeyrings({ directory, path }: Bench): Promise<Keyrings> {
  const home = join(directory, 'gnupg');
  mkdirSync(home, { mode: 0o700 });
  const env = homeIn(directory, { GNUPGHOME: home });
  const gpg = async (...args: readonly string[]): Promise<void> => {
    const fixed = ['--batch', '--quiet', '--no-tty', '--pinentry-mode', 'loopback', '--passphrase', ''];
    await run(path('gpg'), [...fixed, ...args], { env });
  };
  const rings = { publicRing: join(directory, 'public.gpg'), secretRing: join(directory, 'secret.gpg') };
  try {
    await gpg('--quick-generate-key', signer, 'rsa2048', 'sign', 'never');
    await gpg('--output', rings.publicRing, '--export');
    await gpg('--output', rings.secretRing, '--export-secret-keys');
  } finally {
    await run('gpgconf', ['--kill', 'gpg-agent'], { env });
  }
  return rings;
}

function helm(name: string, program: 'helm' | 'helm4'): Tool {
  return {
    name: `${name} charts`,
    programs: [program, 'gpg', 'gpgAgent'],
    upstreams: ['dist3.test', 'crane.test'],
    prepare: async (bench) => {
      const { directory, upstream, path } = bench;
      const { publicRing, secretRing } = await makeKeyrings(bench);
      const repository = `signed-${program}`;
      const env = homeIn(directory);
      await run(path(program), ['create', 'weir-signed'], { cwd: directory, env });
      for (const version of versions) {
        const sign = ['--sign', '--key', 'weir e2e', '--keyring', secretRing, '--version', version];
        await run(path(program), ['package', ...sign, 'weir-signed'], { cwd: directory, env });
        const target = `oci://${upstream.host}/${repository}`;
        await run(path(program), ['push', '--plain-http', `weir-signed-${version}.tgz`, target], {
          cwd: directory,
          env,
        });
      }
      return async ({ base, directory: own, env: ownEnv }) => {
        const charts = `oci://${base}/${repository}`;
        const call = async (...args: readonly string[]): Promise<string> => {
          const { stdout, stderr } = await run(path(program), args, { cwd: own, env: ownEnv });
          return `${stdout}${stderr}`;
        };
        const plain = ['--plain-http', `${charts}/weir-signed`];
        const same = async (file: string): Promise<void> =>
          expectSame(file, await hashFile(join(own, file)), await hashFile(join(directory, file)));

        const said = await call('pull', ...plain, '--version', '^0.1', '--verify', '--keyring', publicRing);
        expectMatch('helm pull --verify', said, /Signed by: weir e2e/);
        await call('pull', ...plain, '--version', '0.2.0', '--prov');
        for (const version of ['0.1.5', '0.2.0']) {
          await same(`weir-signed-${version}.tgz`);
          await same(`weir-signed-${version}.tgz.prov`);
        }
        expectMatch(
          'helm show chart',
          await call('show', 'chart', ...plain, '--version', '~0.1'),
          /^version: 0\.1\.5$/m,
        );
        const rendered = await call('template', 'release', ...plain, '--version', '0.1.x');
        expectMatch('helm template', rendered, /name: release-weir-signed/);

        const dependency = { name: 'weir-signed', version: '^0.1', repository: charts };
        const parent = { apiVersion: 'v2', name: 'parent', version: '1.0.0', dependencies: [dependency] };
        mkdirSync(join(own, 'parent'));
        writeFileSync(join(own, 'parent', 'Chart.yaml'), JSON.stringify(parent)); // JSON is YAML
        for (const how of ['update', 'build'] as const) {
          await call('dependency', how, '--plain-http', 'parent');
          expectSame(`helm dependency ${how}`, readdirSync(join(own, 'parent', 'charts')), ['weir-signed-0.1.5.tgz']);
          const vendored = await hashFile(join(own, 'parent', 'charts', 'weir-signed-0.1.5.tgz'));
          expectSame(`helm dependency ${how}`, vendored, await hashFile(join(directory, 'weir-signed-0.1.5.tgz')));
          rmSync(join(own, 'parent', 'charts'), { recursive: true });
        }
        expectMatch('Chart.lock', readFileSync(join(own, 'parent', 'Chart.lock'), 'utf8'), /version: 0\.1\.5/);
      };
    },
  };
}

export const helms: readonly Tool[] = [helm('helm', 'helm'), helm('helm4', 'helm4')];
