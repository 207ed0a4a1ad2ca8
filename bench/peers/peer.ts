/** What is compared: a program that stands between clients and an upstream, started as its users would start it. */
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, freePort } from '../../test/e2e/process.ts';
import { originOf, type Route } from '../support/upstream.ts';

/** `direct` is the client without any cache. */
export type PeerKind = 'weir' | 'registry' | 'proxy' | 'direct';

export interface StartOptions {
  readonly route: Route;
  /** Empty; holds the cache, the configuration and the log. */
  readonly directory: string;
  /** Whether it writes a line for each request; absent: weir does, as is its default, and the others do not. */
  readonly hasAccessLog?: boolean;
  /** The most the cache may hold; its own default when absent. */
  readonly maxBytes?: number;
}

/** A peer that runs. */
export interface Subject {
  readonly peer: Peer;
  /** `http://host:port`, without a slash. */
  readonly origin: string;
  /** The process whose tree is measured; undefined for `direct`. */
  readonly pid: number | undefined;
  /** What it was started on. */
  readonly directory: string;
  stop(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  readonly title: string;
  readonly kind: PeerKind;
  readonly version: string;
  /** Whether its cache can be bounded in bytes. */
  readonly isBounded: boolean;
  start(options: StartOptions): Promise<Subject>;
}

/** How a peer's process is started; may write configuration files into `options.directory`. */
export type Command = (options: StartOptions, port: number) => Promise<Launch>;

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  /** Added to a clean environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** The version of a program that does not tell it: `angos` may be a link to `angos-1.6.0`. */
export function versionInName(program: string): string {
  return /-v?(\d+\.\d+\.\d+)$/.exec(realpathSync(program))?.[1] ?? '(version unknown)';
}

/** Whether a registry answers there. */
export async function answers(origin: string): Promise<boolean> {
  try {
    return (await fetch(`${origin}/v2/`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false; // not listening yet
  }
}

export function peerOf(facts: Omit<Peer, 'start'>, launch: Command, environment: () => NodeJS.ProcessEnv): Peer {
  const peer: Peer = {
    ...facts,
    async start(options) {
      mkdirSync(options.directory, { recursive: true });
      const port = await freePort();
      const { command, args, env } = await launch(options, port);
      const log = join(options.directory, 'log');
      const daemon = new Daemon(facts.name, command, args, log, { ...environment(), ...env });
      const origin = `http://127.0.0.1:${port}`;
      await daemon.ready(() => answers(origin));
      return {
        peer,
        origin,
        pid: daemon.pid,
        directory: options.directory,
        stop: async () => {
          await daemon.stop('SIGKILL');
        },
      };
    },
  };
  return peer;
}

/** The client asks the upstream itself: what a cache is up against when it holds nothing yet. */
export const direct: Peer = {
  name: 'direct',
  title: 'direct, no cache',
  kind: 'direct',
  version: '',
  isBounded: false,
  start: ({ route, directory }) =>
    Promise.resolve({
      peer: direct,
      origin: originOf(route),
      pid: undefined,
      directory,
      stop: () => Promise.resolve(),
    }),
};
