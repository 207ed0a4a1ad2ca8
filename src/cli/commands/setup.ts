/** `weir setup CLIENT`: the client's configuration on standard output, or in its place. */
import { resolve } from 'node:path';
import type { Config } from '../../config/values/config.ts';
import { closest } from '../../config/values/suggest.ts';
import { type Options, UsageError } from '../frame/args.ts';
import type { Command, ExitCode } from '../frame/command.ts';
import { loadOrExplain } from '../frame/load.ts';
import { type CliIo, printJson, printLine } from '../frame/output.ts';
import type { ClientSetup, SetupRequest } from '../setup/contract/client-setup.ts';
import { clients, findClient } from '../setup/programs/programs.ts';
import { findListener } from '../setup/listener.ts';
import { plainSetup, renderSetup } from '../setup/render.ts';
import { writeSetup } from '../setup/files/write.ts';

const width = Math.max(...clients.map(({ name }) => name.length));

export const setup: Command = {
  name: 'setup',
  operand: 'CLIENT',
  options: ['config', 'url', 'ca', 'upstream', 'write', 'yes', 'root', 'json'],
  summary: 'Print the configuration that makes a client pull through weir, or put it in place.',
  help: [
    '--write shows what would change and asks; --yes does not ask. What else is in a file stays there, its old self stays',
    'beside it, and a file of somebody else is left alone and named.',
    '',
    'Clients:',
    ...clients.map(({ name, aliases, summary }) => {
      const also = aliases.length === 0 ? '' : ` (also ${aliases.join(', ')})`;
      return `  ${name.padEnd(width)}  ${summary}${also}`;
    }),
  ].join('\n'),
  run: async (options, io) => {
    const client = chooseClient(options);
    if (options.yes && !options.write) throw new UsageError('--yes makes no sense without --write');
    const loaded = loadOrExplain(options, io);
    if (loaded === undefined) return 2;
    return runFor(client, loaded.config, options, io);
  },
};

function chooseClient({ operands: [name] }: Options): ClientSetup {
  const known = `weir knows ${clients.map((client) => client.name).join(', ')}`;
  if (name === undefined) throw new UsageError(`weir setup needs a client: ${known}`);
  const found = findClient(name);
  if (found !== undefined) return found;
  const meant = closest(
    name,
    clients.flatMap((client) => [client.name, ...client.aliases]),
  );
  throw new UsageError(`unknown client "${name}"${meant === undefined ? '' : `; did you mean ${meant}?`} (${known})`);
}

async function runFor(client: ClientSetup, config: Config, options: Options, io: CliIo): Promise<ExitCode> {
  const { listener, notes } = findListener(config, { url: options.url, ca: options.ca, env: io.env, cwd: io.cwd });
  const request: SetupRequest = {
    listener,
    upstreams: chooseUpstreams(config, options.upstream),
    isLimited: options.upstream !== undefined,
  };
  const made = client.generate(request);
  const whole = { ...made, notes: [...notes, ...made.notes] };
  const root = options.root === undefined ? '/' : resolve(io.cwd, options.root);
  if (options.write)
    return writeSetup(whole, { client: client.name, root, isAgreed: options.yes, json: options.json }, io);
  if (options.json) printJson(io.out, plainSetup(whole, listener, client.name));
  else io.out.write(renderSetup(whole, listener, client.name));
  if (options.root !== undefined) printLine(io.err, 'weir: --root does nothing without --write');
  return 0;
}

function chooseUpstreams({ upstreams }: Config, name: string | undefined): SetupRequest['upstreams'] {
  if (name === undefined) {
    if (upstreams.length === 0) throw new UsageError('no upstream is configured');
    return upstreams;
  }
  return [findUpstream(upstreams, name)];
}

/** Throws UsageError with the name that may be meant. */
export function findUpstream<T extends { readonly key: string }>(upstreams: readonly T[], name: string): T {
  const found = upstreams.find(({ key }) => key === name.toLowerCase());
  if (found !== undefined) return found;
  const keys = upstreams.map(({ key }) => key);
  const meant = closest(name.toLowerCase(), keys);
  throw new UsageError(
    `unknown upstream "${name}"; ${meant === undefined ? `there are ${keys.join(', ')}` : `did you mean ${meant}?`}`,
  );
}
