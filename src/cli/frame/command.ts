/** What a command is, and what it is given. */
import type { Config, ListenAddress } from '../../config/values/config.ts';
import type { CommandSyntax, Options } from './args.ts';
import type { EndpointProbe } from '../../upstream/try-endpoint.ts';
import type { Machine } from './machine.ts';
import type { CliIo } from './output.ts';

/** 0 fine · 1 failed · 2 the command line or the configuration is wrong · 3 corruption was found. */
export type ExitCode = 0 | 1 | 2 | 3;

/** A running weir. Its owner calls `stop` and waits for it. */
export interface Daemon {
  /** Where it really listens, with the ports that the system chose. */
  readonly addresses: { readonly registry: ListenAddress; readonly admin: ListenAddress };
  /**
   * Stops accepting, lets answers finish up to a limit, writes everything down. Called again, it cuts short what can be
   * cut short; both calls resolve when it has stopped.
   */
  stop(): Promise<void>;
  /** Resolves when it has stopped, for whatever reason; rejects when it cannot go on. */
  readonly stopped: Promise<void>;
}

/** What lies above the command line; the composition root hands it in. */
export interface CliDeps {
  readonly version: string;
  /** Resolves when both listeners accept. Rejects with one error that says why not, leaving nothing behind. */
  readonly startDaemon: (config: Config) => Promise<Daemon>;
  /** The endpoints of each upstream, by its key. */
  readonly createProbes: (config: Config) => Promise<ReadonlyMap<string, readonly EndpointProbe[]>>;
  readonly machine: Machine;
}

export interface Command extends CommandSyntax {
  readonly summary: string;
  /** Below the usage line in its help. */
  readonly help: string;
  readonly run: (options: Options, io: CliIo, deps: CliDeps) => Promise<ExitCode>;
}
