/** The daemon as it is composed, in front of scripted registries under the names that clients know them by. */
import { startDaemon } from '../../../src/daemon/daemon.ts';
import { configIn } from '../../support/config-file.ts';
import type { BuiltManifest } from '../../support/image-builder.ts';
import { ScriptedUpstream, type UpstreamOptions } from '../../support/scripted-upstream.ts';
import { tempDirectory } from '../../support/temp.ts';
import type { RegistryContent } from '../../support/upstream/content.ts';
import type { RecordedRequest } from '../../support/upstream/request.ts';

type Fill = (content: RegistryContent) => void;

/** Puts an image or artifact, with everything below it, under a name and tags. */
export function holding(repository: string, built: BuiltManifest, ...tags: readonly string[]): Fill {
  return (content) => void content.add(repository, built, ...tags);
}

export interface WeirOptions {
  /** What each upstream holds, by the key it has in weir. `docker.io`, where it is one of them, is the default. */
  readonly upstreams: Readonly<Record<string, Fill>>;
  /** More of an upstream's configuration, by key. */
  readonly configure?: Readonly<Record<string, object>>;
  /** How an upstream itself behaves, by key. */
  readonly behave?: Readonly<Record<string, UpstreamOptions>>;
  /** Over the defaults of the fixture: a tag is fresh for an hour, and nothing is fetched that no client asked for. */
  readonly settings?: object;
  /** Variables that the configuration names. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Weir extends AsyncDisposable {
  readonly origin: string;
  readonly host: string;
  upstream(key: string): ScriptedUpstream;
  /** What all upstreams were asked, in order of arrival at each. */
  upstreamRequests(): readonly RecordedRequest[];
  forgetRequests(): void;
  /** Every upstream goes down. */
  stopUpstreams(): Promise<void>;
}

export async function startWeir(options: WeirOptions): Promise<Weir> {
  await using undo = new AsyncDisposableStack();
  const temp = undo.use(await tempDirectory('client'));
  const upstreams = new Map<string, ScriptedUpstream>();
  for (const [key, fill] of Object.entries(options.upstreams)) {
    const upstream = undo.use(await ScriptedUpstream.start(options.behave?.[key]));
    fill(upstream.content);
    upstreams.set(key, upstream);
  }
  const entries = [...upstreams].map(([key, { url }]) => [
    key,
    { url, default: key === 'docker.io', ...options.configure?.[key] },
  ]);
  const settings = {
    prefetch: { enabled: false },
    serve: { threads: 1 },
    tags: { ttl: '1h' },
    upstreams: Object.fromEntries(entries),
    ...options.settings,
  };
  const config = await configIn(temp, settings, options.env);
  const daemon = await startDaemon(config, { logTo: { write: () => undefined }, ownsProcess: false });
  undo.defer(() => daemon.stop());
  const host = `127.0.0.1:${daemon.addresses.registry.port}`;
  const all = [...upstreams.values()];
  const owned = undo.move();
  return {
    host,
    origin: `http://${host}`,
    upstream(key) {
      const found = upstreams.get(key);
      if (found === undefined) throw new Error(`no upstream ${key} in this test`);
      return found;
    },
    upstreamRequests: () => all.flatMap(({ requests }) => requests),
    forgetRequests: () => all.forEach((upstream) => upstream.forgetRequests()),
    stopUpstreams: async () => void (await Promise.all(all.map((upstream) => upstream.stop()))),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
