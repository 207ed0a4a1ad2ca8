/** A delaying or cutting proxy in a process of its own, so that it takes no time from whoever measures. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Route } from './upstream.ts';

export interface RunningProxy extends AsyncDisposable {
  readonly route: Route;
  /** After so many more bytes from the upstream every connection breaks, once. */
  cutAfter(bytes: number): void;
}

/** Stands in front of a plain port of the upstream. */
export async function startProxy(target: Route, roundTripMs: number): Promise<RunningProxy> {
  const program = join(import.meta.dirname, 'proxy-main.ts');
  const child = fork(program, [String(target.port), String(roundTripMs)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [message] = (await once(child, 'message', { signal: AbortSignal.timeout(10_000) })) as [
    { readonly port: number },
  ];
  const ended = once(child, 'exit');
  return {
    route: { port: message.port, ca: target.ca },
    cutAfter: (cutAfter) => void child.send({ cutAfter }),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
