/** A scripted registry that can be away in each of the ways in which machines are, and knows how often it was dialled. */
import { once } from 'node:events';
import type { LookupAddress } from 'node:dns';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { TransportOptions } from '../../src/upstream/create.ts';
import { eventually } from './gate.ts';
import { ScriptedUpstream } from './scripted-upstream.ts';
import { stall } from './upstream/behaviour.ts';

/** `blackholed`: connections neither stand nor fail. `silent`: they stand, and nothing comes, not even on those that were there. */
export type Death = 'refused' | 'blackholed' | 'silent';
export const deaths: readonly Death[] = ['refused', 'blackholed', 'silent'];

export class MortalRegistry implements AsyncDisposable {
  readonly registry: ScriptedUpstream;
  readonly url: URL;
  /** Connections begun, whatever became of them. */
  dials = 0;
  #hole: BlackHole | undefined;

  private constructor(registry: ScriptedUpstream, name: string) {
    this.registry = registry;
    this.url = new URL(`http://${name}:${registry.port}`);
  }

  static async start(name = 'registry.test', options?: Parameters<typeof ScriptedUpstream.start>[0]) {
    return new MortalRegistry(await ScriptedUpstream.start(options), name);
  }

  async die(how: Death): Promise<void> {
    const { registry } = this;
    if (how === 'silent') {
      registry.accept = 'hang';
      registry.always = stall('before');
      return;
    }
    await registry.stop();
    if (how === 'blackholed') this.#hole = await BlackHole.open(registry.port);
  }

  async live(): Promise<void> {
    const { registry } = this;
    await this.#hole?.close();
    this.#hole = undefined;
    registry.always = {};
    registry.cutAll();
    if (registry.accept === 'serve') await registry.listen();
    registry.accept = 'serve';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hole?.close();
    await this.registry[Symbol.asyncDispose]();
  }
}

/** Each name leads to this machine, which is counted where it is one of theirs. */
export function countingLookup(registries: readonly MortalRegistry[]): Pick<TransportOptions, 'lookup'> {
  const lookup = (name: string, _: object, done: (error: null, found: LookupAddress[]) => void): void => {
    for (const each of registries) if (each.url.hostname === name) each.dials++;
    done(null, [{ address: '127.0.0.1', family: 4 }]);
  };
  return { lookup: lookup as never };
}

/** Listens and never accepts: who would accept is stopped, and the queue of the kernel is full. */
class BlackHole {
  readonly #worker: Worker;
  readonly #fillers: readonly Socket[];

  private constructor(worker: Worker, fillers: readonly Socket[]) {
    this.#worker = worker;
    this.#fillers = fillers;
  }

  static async open(port: number): Promise<BlackHole> {
    const stopped = new SharedArrayBuffer(4);
    const script = `
      const { workerData, parentPort } = require('node:worker_threads');
      require('node:net').createServer().listen({ port: workerData.port, host: '127.0.0.1', backlog: 1 }, () => {
        parentPort.postMessage('listening');
        setImmediate(() => Atomics.wait(new Int32Array(workerData.stopped), 0, 0));
      });`;
    const worker = new Worker(script, { eval: true, workerData: { port, stopped } });
    await once(worker, 'message');
    const fillers: Socket[] = [];
    const open = (): number => fillers.filter(({ connecting }) => !connecting).length;
    // The kernel takes one more than it is told to; those beyond stay without an answer.
    for (let i = 0; i < 6; i++) fillers.push(connect({ port, host: '127.0.0.1' }).on('error', () => undefined));
    await eventually(
      () => open() >= 2,
      () => `${open()} connections to fill the queue with`,
    );
    return new BlackHole(worker, fillers);
  }

  async close(): Promise<void> {
    for (const filler of this.#fillers) filler.destroy();
    await this.#worker.terminate();
  }
}
