/** One daemon in front of one upstream for each outage, with content pulled through it while all was well. */
import { join } from 'node:path';
import { randomBytesOf } from '../../support/byte-source.ts';
import { buildArtifact, buildImage, type BuiltManifest } from '../../support/image-builder.ts';
import { type RawResponse, rawFetch } from '../../support/raw-client.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { Daemon } from './daemon.ts';
import { login, type Outage } from './outage-modes.ts';

/** Entries of one upstream: one whose tags expire at once, one whose tags stay fresh, and ones that ask one thing each. */
const entries = ['expired', 'fresh', 'tag', 'blob', 'referrers'] as const;
type Entry = (typeof entries)[number];

export interface Timed extends RawResponse {
  readonly ms: number;
}

/** One outage with its upstream, and how to ask weir for what lies there. */
export class Scene {
  readonly outage: Outage;
  readonly upstream: ScriptedUpstream;
  readonly image: BuiltManifest;
  readonly newer: BuiltManifest;
  readonly blob: Buffer;
  readonly coldBlob: Buffer;
  readonly blobDigest: string;
  readonly coldDigest: string;
  readonly #weir: () => Daemon;

  constructor(outage: Outage, upstream: ScriptedUpstream, weir: () => Daemon) {
    this.outage = outage;
    this.upstream = upstream;
    this.#weir = weir;
    this.image = buildImage({ seed: outage.name });
    this.newer = buildImage({ seed: `${outage.name} newer` });
    this.blob = randomBytesOf(200_000, outage.name);
    this.coldBlob = randomBytesOf(200_000, `${outage.name} cold`);
    const { content } = upstream;
    content.add('team/app', this.image, 'latest', 'fresh');
    content.add('team/app', buildImage({ seed: `${outage.name} cold` }), 'cold');
    content.add('team/app', buildArtifact({ seed: outage.name, subject: this.image }));
    this.blobDigest = content.addBlob('team/app', this.blob);
    this.coldDigest = content.addBlob('team/app', this.coldBlob);
  }

  static entriesOf({ name, tls, login: hasLogin }: Outage, url: string): Record<string, object> {
    return Object.fromEntries(
      entries.map((entry) => [
        `${name}-${entry}`,
        {
          url,
          tags: { ttl: entry === 'fresh' ? '1h' : '0s' },
          ...(tls === true ? { tls: { insecureSkipVerify: true } } : {}),
          ...(hasLogin === true ? { access: 'all', auth: { username: login.username, passwordEnv: 'LOGIN' } } : {}),
        },
      ]),
    );
  }

  async ask(entry: Entry, place: string, method = 'GET', timeoutMs = 90_000): Promise<Timed> {
    const began = performance.now();
    const url = `${this.#weir().url}/v2/${this.outage.name}-${entry}/team/app/${place}`;
    // Of a body that drips nothing but the head and a byte is of interest.
    const isDripping = this.outage.coldBlob === 200 && place.endsWith(this.coldDigest);
    const leave = isDripping ? { leave: { at: 1, how: 'rst' as const } } : {};
    const response = await rawFetch(url, { method, timeoutMs, ...leave });
    return { ...response, ms: performance.now() - began };
  }

  /** What weir itself counts as asked, for upstreams that cannot count. */
  async asked(): Promise<number> {
    const weir = this.#weir();
    const name = 'weir_upstream_request_seconds_count';
    const counts = await Promise.all(entries.map((entry) => weir.metric(name, `"${this.outage.name}-${entry}"`)));
    return counts.reduce((sum, count) => sum + count, 0) + this.upstream.requests.length + this.upstream.connections;
  }
}

export class OutageStage implements AsyncDisposable {
  readonly scenes: readonly Scene[];
  readonly weir: Daemon;
  readonly #directory: TempDirectory;

  private constructor(scenes: readonly Scene[], weir: Daemon, directory: TempDirectory) {
    this.scenes = scenes;
    this.weir = weir;
    this.#directory = directory;
  }

  static async set(outages: readonly Outage[]): Promise<OutageStage> {
    const directory = await tempDirectory('weir-outages');
    const started: { weir?: Daemon } = {};
    const running = (): Daemon => {
      if (started.weir === undefined) throw new Error('the daemon does not run');
      return started.weir;
    };
    const scenes: Scene[] = [];
    for (const outage of outages) {
      const auth = { kind: 'basic', users: { [login.username]: login.password } } as const;
      const upstream = await ScriptedUpstream.start({
        tls: outage.tls === true,
        ...(outage.login === true ? { auth } : {}),
      });
      scenes.push(new Scene(outage, upstream, running));
    }
    const upstreams = Object.assign({}, ...scenes.map((scene) => Scene.entriesOf(scene.outage, scene.upstream.url)));
    const weir = await Daemon.start({
      directory: join(directory.path, 'weir'),
      upstreams,
      config: { prefetch: { enabled: false } },
      env: { LOGIN: login.password },
    });
    started.weir = weir;
    return new OutageStage(scenes, weir, directory);
  }

  /** The same question about every outage at the same time, by its name. */
  async each<T>(work: (scene: Scene) => Promise<T>): Promise<Readonly<Record<string, T>>> {
    return Object.fromEntries(
      await Promise.all(this.scenes.map(async (scene) => [scene.outage.name, await work(scene)] as const)),
    );
  }

  expected<T>(of: (outage: Outage) => T): Readonly<Record<string, T>> {
    return Object.fromEntries(this.scenes.map(({ outage }) => [outage.name, of(outage)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.weir[Symbol.asyncDispose]();
    for (const { upstream } of this.scenes) await upstream[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}
