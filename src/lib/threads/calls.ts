/**
 * Calls from one thread to another over a MessagePort. Arguments and values are what structured cloning takes; errors go
 * through a codec, because cloning forgets their classes.
 */
import type { MessagePort } from 'node:worker_threads';
import { abortReason } from '../abort.ts';

/** What a port answers, by name. The signal aborts when the caller gives up or the port is closed. */
export type Handlers = Readonly<Record<string, (argument: never, signal: AbortSignal) => unknown>>;

type Argument<H extends Handlers, N extends keyof H> = Parameters<H[N]>[0];
type Value<H extends Handlers, N extends keyof H> = Awaited<ReturnType<H[N]>>;

interface ErrorCodec {
  encode(error: unknown): unknown;
  decode(encoded: unknown): Error;
}

type Request =
  /** `id` 0 wants no answer. */
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'abort'; readonly id: number };

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: unknown;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The asking side. `close` it when the other one is gone: a port does not say so by itself in time. */
export class PortCaller<H extends Handlers> {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  /** Names of calls whose callers have given up: what still comes belongs to nobody. */
  readonly #orphans = new Map<number, string>();
  #lastId = 0;
  #closed: Error | undefined;

  /** `orphaned` gets values that came after their caller had given up, to give back what they stand for. */
  constructor(
    port: MessagePort,
    codec: Pick<ErrorCodec, 'decode'>,
    orphaned: (name: string, value: unknown) => void = () => undefined,
  ) {
    this.#port = port;
    port.on('message', ({ id, value, error }: Reply) => {
      const waiting = this.#waiting.get(id);
      const orphan = this.#orphans.get(id);
      this.#waiting.delete(id);
      this.#orphans.delete(id);
      if (orphan !== undefined && error === undefined) orphaned(orphan, value);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(codec.decode(error));
    });
  }

  /** Rejects with what the handler threw, the signal's reason, or the reason of `close`. */
  call<N extends keyof H & string>(name: N, argument: Argument<H, N>, signal?: AbortSignal): Promise<Value<H, N>> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    const id = ++this.#lastId;
    return new Promise<Value<H, N>>((resolve, reject) => {
      const onAbort = (): void => {
        if (signal === undefined || !this.#waiting.delete(id)) return;
        this.#orphans.set(id, name);
        this.#post({ kind: 'abort', id });
        reject(abortReason(signal));
      };
      const ended = (): void => signal?.removeEventListener('abort', onAbort);
      this.#waiting.set(id, {
        resolve: (value) => {
          ended();
          resolve(value as Value<H, N>);
        },
        reject: (error) => {
          ended();
          reject(error);
        },
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#post({ kind: 'call', id, name, argument });
    });
  }

  /** Calls without waiting for anything; a failure there is lost. */
  tell<N extends keyof H & string>(name: N, argument: Argument<H, N>): void {
    if (this.#closed === undefined) this.#post({ kind: 'call', id: 0, name, argument });
  }

  /** Rejects everything that waits, and every later call. Idempotent. */
  close(reason: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    this.#port.close();
  }

  #post(request: Request): void {
    this.#port.postMessage(request);
  }
}

/** The answering side. Disposing it aborts what runs, answers nothing more, and closes the port. */
export function answerCalls(port: MessagePort, handlers: Handlers, codec: Pick<ErrorCodec, 'encode'>): Disposable {
  const running = new Map<number, AbortController>();
  let isOpen = true;

  async function answer(id: number, name: string, argument: unknown): Promise<void> {
    const control = new AbortController();
    if (id !== 0) running.set(id, control);
    let reply: Reply;
    try {
      const handler = handlers[name];
      if (handler === undefined) throw new Error(`nobody answers to ${name}`);
      reply = { id, value: await handler(argument as never, control.signal) };
    } catch (error) {
      reply = { id, error: codec.encode(error) };
    }
    running.delete(id);
    if (isOpen && id !== 0) port.postMessage(reply);
  }

  port.on('message', (request: Request) => {
    if (request.kind === 'abort') running.get(request.id)?.abort(new Error('the caller gave up'));
    // Owned here: it never rejects.
    else void answer(request.id, request.name, request.argument);
  });
  return {
    [Symbol.dispose]() {
      if (!isOpen) return;
      isOpen = false;
      port.close();
      for (const control of running.values()) control.abort(new Error('the caller is gone'));
    },
  };
}
