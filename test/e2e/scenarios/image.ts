/** weir's own container image: built from the repository's Dockerfile on base images of ours, run, pulled through. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { hashBlobs } from '../clients/client.ts';
import { Podman, smallLimits } from '../clients/podman.ts';
import { buildBaseImages } from '../content/base-images.ts';
import { freePort, run } from '../process.ts';
import { CheckError } from '../report.ts';
import { blobTransfers } from '../request-log.ts';
import type { Seeded, Stage } from '../stage.ts';

const repository = resolve(import.meta.dirname, '..', '..', '..');
const image = 'localhost/weir-e2e:1';
const container = 'weir-e2e';

async function until(what: string, isSo: () => Promise<boolean>, deadlineMs = 30_000): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new CheckError(`${what}: not within ${deadlineMs} ms`);
    await new Promise((tick) => setTimeout(tick, 200));
  }
}

export async function playImage(stage: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, report } = stage;
  const directory = workspace.directory('container');
  const podman = new Podman(tools, directory);
  const isBuilt = await report.check(
    'image: the Dockerfile builds on base images made of Debian packages',
    async () => {
      const file = join(repository, 'Dockerfile');
      if (!existsSync(file)) throw new CheckError('there is no Dockerfile');
      const { node, runtime } = await buildBaseImages(tools, workspace, podman);
      const bases = ['--build-arg', `NODE_IMAGE=${node}`, '--build-arg', `RUNTIME_IMAGE=${runtime}`];
      await podman.build(repository, file, image, bases);
    },
  );
  if (isBuilt) await playBuilt(stage, seeded, podman);
  workspace.remove(directory);
}

async function playBuilt({ tools, workspace, report }: Stage, seeded: Seeded, podman: Podman): Promise<void> {
  const { upstream, artifacts } = seeded;
  const [port, adminPort] = [await freePort(), await freePort()];
  const environment = {
    // The image listens on every address; the suite stays on loopback.
    WEIR_LISTEN: `127.0.0.1:${port}`,
    WEIR_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
    WEIR_DEFAULT_UPSTREAM: `http://${upstream.host}`,
  };
  const variables = Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  // Health checks run when the suite asks: podman's timer needs systemd.
  const flags = ['--detach', '--name', container, '--network', 'host', '--health-interval', 'disable', ...smallLimits];
  const isRunning = await report.check('image: it starts as a user that is not root', async () => {
    await podman.command(['run', ...flags, ...variables, image]);
    const isReady = async (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
        ({ ok }) => ok,
        () => false, // not listening yet
      );
    try {
      await until('ready', isReady);
    } catch (error) {
      const log = await podman.command(['logs', '--tail', '15', container]);
      throw new CheckError(`${String(error)}\n${log}`);
    }
    const uid = await podman.command(['inspect', '--format', '{{.State.Pid}}', container]);
    const { stdout } = await run('ps', ['-o', 'uid=', '-p', uid]);
    if (Number(stdout.trim()) === 0) throw new CheckError('it runs as root');
    return `uid ${stdout.trim()}`;
  });
  if (!isRunning) return;
  await report.check('image: its health check says healthy', async () => {
    await podman.command(['healthcheck', 'run', container]);
  });
  for (const { name, repository: from, tag, direct, kind } of artifacts) {
    if (kind !== 'image') continue;
    await report.check(`image: crane pulls ${name} through it`, async () => {
      await upstream.settle();
      const first = upstream.requests().length;
      const target = join(workspace.directory('crane'), 'layout');
      await run(tools.crane, ['pull', '--format=oci', `127.0.0.1:${port}/${from}:${tag}`, target]);
      const blobs = await hashBlobs(join(target, 'blobs', 'sha256'));
      const absent = [...direct.blobs.keys(), direct.root].filter((digest) => !blobs.includes(digest));
      if (absent.length > 0) throw new CheckError(`the client has no ${absent.join(' ')}`);
      await upstream.settle();
      const since = upstream.requests().slice(first);
      const twice = [...direct.blobs.keys()].filter((digest) => blobTransfers(since, digest).count > 1);
      if (twice.length > 0) throw new CheckError(`transferred more than once: ${twice.join(' ')}`);
    });
  }
  await report.check('image: SIGTERM ends it with exit code 0', async () => {
    await podman.command(['stop', '--time', '20', container]);
    const code = await podman.command(['inspect', '--format', '{{.State.ExitCode}}', container]);
    if (code !== '0') throw new CheckError(`exit code ${code}`);
  });
}
