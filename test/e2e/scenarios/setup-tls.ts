/** weir with a certificate that signed itself: what `weir setup` writes and prints makes clients trust it, and no other. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { containerds } from '../clients/containerd.ts';
import { registriesConf } from '../clients/simple.ts';
import type { Client, Site } from '../clients/client.ts';
import { cleanEnvironment, run } from '../process.ts';
import { CheckError } from '../report.ts';
import { withWeir, type Seeded, type Stage } from '../stage.ts';
import type { Weir } from '../weir.ts';
import { titleOf } from './matrix.ts';
import { argumentsOf, artifactOf, printed } from './setup-support.ts';

export async function playTls(plain: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, report } = plain;
  const directory = workspace.directory('certificate');
  const tls = { cert: join(directory, 'weir.crt'), key: join(directory, 'weir.key') };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', tls.key];
  const names = ['-subj', '/CN=weir', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await run('/usr/bin/openssl', ['req', '-x509', ...key, '-days', '2', ...names, '-out', tls.cert]);
  const stage: Stage = { ...plain, tls };
  await withWeir(stage, 'setup tls', seeded.upstream, async (weir) => {
    for (const client of containerds) {
      await report.check(`setup tls: ${titleOf(client, stage.versions)} trusts the certificate`, async () =>
        pullByContainerd(stage, seeded, client, weir),
      );
    }
    await report.check('setup tls: skopeo trusts the authority of its directory, and nothing without it', async () => {
      const settings = workspace.directory('settings');
      await weir.setUp('podman', settings);
      const site: Site = { tools, workspace, weir: weir.host, upstream: seeded.upstream, settings };
      const certs = join(settings, 'etc', 'containers', 'certs.d', weir.host);
      const asked = ['--registries-conf', registriesConf(site), 'inspect', '--raw', '--cert-dir', certs];
      const inspect = (): Promise<{ readonly stdout: string }> =>
        run(tools.skopeo, [...asked, `docker://${seeded.upstream.name}/library/busybox:1`]);
      await inspect();
      rmSync(join(certs, 'ca.crt'));
      const isRefused = await inspect().then(
        () => false,
        (error: unknown) => String(error).includes('certificate'),
      );
      if (!isRefused) throw new CheckError('it went on without the authority');
    });
    await report.check('setup tls: Helm takes the printed --ca-file', async () => {
      const { repository, tag, direct } = artifactOf(seeded, 'chart');
      const { commands } = await printed(weir, 'helm', seeded.upstream.name);
      const args = argumentsOf(commands, 'helm', { 'ORG/CHART': repository, VERSION: tag });
      if (!args.includes('--ca-file')) throw new CheckError(args.join(' '));
      const home = workspace.directory('helm');
      const env = cleanEnvironment({ HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home });
      const { stdout, stderr } = await run(tools.helm, [...args, '-d', home], { env });
      if (!`${stdout}${stderr}`.includes(direct.root)) throw new CheckError(`${stdout}${stderr}`);
    });
    await report.check('setup tls: doctor knows the certificate, and the weir behind it', async () => {
      const text = await weir.command(['doctor', '--json']);
      const isAll = text.includes('"check":"tls","message":') && text.includes('a running weir holds 127.0.0.1');
      if (!isAll) throw new CheckError(text);
    });
  });
  workspace.remove(directory);
}

async function pullByContainerd(stage: Stage, seeded: Seeded, client: Client, weir: Weir): Promise<void> {
  const { tools, workspace } = stage;
  const artifact = artifactOf(seeded, 'busybox');
  const settings = workspace.directory('settings');
  await weir.setUp('containerd', settings);
  const session = await client.open({ tools, workspace, weir: weir.host, upstream: seeded.upstream, settings });
  try {
    const { digests } = await session.pull(artifact, 'tag');
    if (!digests.includes(artifact.direct.root)) throw new CheckError(digests.join(' '));
  } finally {
    await session.close();
    workspace.remove(settings);
  }
}
