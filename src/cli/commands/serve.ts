/** `weir serve`: starts the daemon, tells a person how to use it, and stops it when asked. */
import { formatListen } from '../../config/schema/addresses.ts';
import type { Config } from '../../config/values/config.ts';
import type { CliDeps, Command, Daemon, ExitCode } from '../frame/command.ts';
import { explainError } from '../frame/failure.ts';
import { loadOrExplain } from '../frame/load.ts';
import { type CliIo, printLine } from '../frame/output.ts';

export const serve: Command = {
  name: 'serve',
  options: ['config'],
  summary: 'Run the cache (this is what weir alone does).',
  help:
    'Runs until SIGTERM or SIGINT: then it stops accepting, lets running downloads finish for a while and writes\n' +
    'everything down. A second signal cuts them short.',
  run: async (options, io, deps) => {
    const loaded = loadOrExplain(options, io);
    return loaded === undefined ? 2 : serveUntilStopped(loaded.config, io, deps);
  },
};

async function serveUntilStopped(config: Config, io: CliIo, deps: CliDeps): Promise<ExitCode> {
  const asked = Promise.withResolvers<void>();
  const insisted = Promise.withResolvers<void>();
  const lostPatience = Promise.withResolvers<void>();
  const waiting = [asked, insisted, lostPatience];
  // Before anything starts, so that no signal meets Node's default, which is to die on the spot.
  const stopListening = io.onStopSignal(() => waiting.shift()?.resolve());
  try {
    const daemon = await Promise.race([deps.startDaemon(config), insisted.promise]);
    // Nobody waits for what has not begun; a root that was just opened is as safe as after a kill.
    if (daemon === undefined) return 0;
    if (io.out.isTTY && waiting.includes(asked)) welcome(config, daemon, io, deps.version);
    await Promise.race([asked.promise, daemon.stopped]);
    await Promise.race([daemon.stop(), insisted.promise]);
    if (!waiting.includes(insisted)) await Promise.race([daemon.stop(), lostPatience.promise]);
    return 0;
  } catch (error) {
    explainError(error, io);
    return 1;
  } finally {
    stopListening();
  }
}

/** Three lines for a person at a terminal. */
function welcome(config: Config, { addresses }: Daemon, io: CliIo, version: string): void {
  const scheme = config.tls === undefined ? 'http' : 'https';
  const registry = formatListen(addresses.registry);
  printLine(
    io.out,
    `weir ${version} listens on ${scheme}://${registry}; metrics and health are on http://${formatListen(addresses.admin)}`,
  );
  printLine(io.out, `Pull through it: docker pull ${formatListen(reachable(addresses.registry))}/${example(config)}`);
  printLine(io.out, 'Stop it with Ctrl-C; press it twice to cut running downloads short.');
}

/** "Every address" is nothing that a client could connect to. */
function reachable({ host, port }: Daemon['addresses']['registry']): Daemon['addresses']['registry'] {
  return { host: host === '0.0.0.0' || host === '::' ? 'localhost' : host, port };
}

function example({ upstreams }: Config): string {
  const keys = upstreams.map(({ key }) => key);
  if (keys.includes('docker.io')) return 'docker.io/library/alpine';
  const [first] = keys;
  return first === undefined ? 'NAME' : `${first.replace(/:([0-9]+)$/, '-$1')}/NAME`;
}
