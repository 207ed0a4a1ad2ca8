/** A fill engine as it runs in a daemon: a store on disk, download workers, and a registry behind real sockets. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { DownloadWorkers } from '../../../src/fill/worker/pool.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { BlobStore, Ingest, IngestKey } from '../../../src/store/contract/blob-store.ts';
import type { UpstreamOptions } from '../../../src/upstream/create.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { openTestStore, type TestStore } from '../../store/support/harness.ts';
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { clientOf, type Recorded, recorder } from '../../upstream/support/clients.ts';
import { Engine, type EngineUpstream } from './engine.ts';

export class Threaded implements AsyncDisposable {
  readonly workers = new DownloadWorkers(silentLogger, 1);
  readonly recorded: Recorded = recorder();
  /** Bodies that were handed to a thread, and bodies whose bytes came through this one. */
  readonly bodies = { moved: 0, read: 0 };
  /** Called when an ingest is about to be adopted. */
  beforeAdopt: (path: string | undefined) => void = () => undefined;
  /** What the ingests' files seem to be called. */
  pathOf: (ingest: Ingest) => string | undefined = ({ path }) => path;
  readonly #temp: TempDirectory;
  readonly #disk: TestStore;
  #engine: Engine | undefined;

  private constructor(temp: TempDirectory, disk: TestStore) {
    this.#temp = temp;
    this.#disk = disk;
  }

  static async start(): Promise<Threaded> {
    const temp = await tempDirectory('threaded');
    return new Threaded(temp, await openTestStore(temp.file('root')));
  }

  get store(): BlobStore {
    return this.#disk.store;
  }

  get root(): string {
    return this.#disk.root;
  }

  /** The engine over one upstream that has `digest`. One per instance. */
  engine(
    registry: ScriptedUpstream,
    digest: string,
    options: Partial<UpstreamOptions> & { onAbandon?: 'finish' | 'keep' } = {},
  ): { engine: Engine; upstream: EngineUpstream } {
    const { onAbandon = 'finish', ...rest } = options;
    const client = clientOf(new URL(registry.url), { events: this.recorded.events, ...rest });
    const openBlob: EngineUpstream['openBlob'] = async (request, signal) => {
      const body = await client.openBlob(request, signal);
      const { toWorker } = body;
      const chunks = { [Symbol.asyncIterator]: () => (this.bodies.read++, body.chunks[Symbol.asyncIterator]()) };
      if (toWorker === undefined) return { ...body, chunks };
      return { ...body, chunks, toWorker: () => (this.bodies.moved++, toWorker()) };
    };
    const upstream = new Proxy(client, {
      get: (target, name) => {
        if (name === 'openBlob') return openBlob;
        if (name === 'digest') return digest as Digest;
        if (name === 'error')
          return (kind: UpstreamError['kind']) => new UpstreamError(kind, kind, { upstream: 'test' });
        const found: unknown = Reflect.get(target, name, target);
        return typeof found === 'function' ? (found.bind(target) as unknown) : found;
      },
    }) as unknown as EngineUpstream;
    const store = new Proxy(this.#disk.store, {
      get: (target, name) => {
        if (name === 'createIngest') return async (key: IngestKey) => this.#watched(await target.createIngest(key));
        const found: unknown = Reflect.get(target, name, target);
        return typeof found === 'function' ? (found.bind(target) as unknown) : found;
      },
    });
    const { metadata } = this.#disk;
    this.#engine = new Engine([upstream], { onAbandon, workers: this.workers, disk: { store, metadata } });
    return { engine: this.#engine, upstream };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
    await this.workers.close();
    await this.#disk[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }

  #watched(ingest: Ingest): Ingest {
    return new Proxy(ingest, {
      get: (target, name) => {
        if (name === 'path') return this.pathOf(target);
        if (name === 'adopt') {
          return (sizeBytes: number) => {
            this.beforeAdopt(target.path);
            return target.adopt(sizeBytes);
          };
        }
        const found: unknown = Reflect.get(target, name, target);
        return typeof found === 'function' ? (found.bind(target) as unknown) : found;
      },
    });
  }
}

/** Descriptors of this process, all threads included, that may write to `path`. */
export function writersOf(path: string): number {
  const writers = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== path) return false;
      const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
      return (Number.parseInt(flags, 8) & 3) !== 0;
    } catch {
      // The descriptor of this very listing is closed again.
      return false;
    }
  });
  return writers.length;
}
