/** One scripted upstream with weir in front of it, and the blob that a test is about. */
import { join } from 'node:path';
import { digestOfSource, randomSource } from '../../support/byte-source.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { Daemon, type DaemonOptions } from './daemon.ts';

export const mb = 1_000_000;
export const mib = 1024 * 1024;

export class Stage implements AsyncDisposable {
  readonly upstream: ScriptedUpstream;
  readonly weir: Daemon;
  readonly #directory: TempDirectory;

  private constructor(upstream: ScriptedUpstream, weir: Daemon, directory: TempDirectory) {
    this.upstream = upstream;
    this.weir = weir;
    this.#directory = directory;
  }

  static async set(
    config: Readonly<Record<string, unknown>> = {},
    upstreamConfig: object = {},
    options: Partial<DaemonOptions> = {},
  ): Promise<Stage> {
    const directory = await tempDirectory('weir-faults');
    const upstream = await ScriptedUpstream.start();
    const upstreams = { lab: { url: upstream.url, default: true, ...upstreamConfig } };
    const weir = await Daemon.start({ directory: join(directory.path, 'weir'), upstreams, config, ...options });
    return new Stage(upstream, weir, directory);
  }

  /** Adds a pseudo-random blob of `bytes` bytes; returns its digest and its path on weir. */
  addBlob(bytes: number, seed: number | string = bytes): { readonly digest: string; readonly path: string } {
    const source = randomSource(bytes, seed);
    const digest = this.upstream.content.addBlob('team/app', source, digestOfSource(source));
    return { digest, path: `/v2/team/app/blobs/${digest}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.weir[Symbol.asyncDispose]();
    await this.upstream[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}
