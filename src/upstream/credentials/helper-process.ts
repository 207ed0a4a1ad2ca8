/** Runs a credential helper: no shell, a time limit, a limit on what it prints, and an end for all its children. */
import { type ChildProcess, spawn } from 'node:child_process';
import { abortReason } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import { CredentialError, errorCodeOf } from './credentials.ts';

export interface HelperRun {
  /** `docker-credential-<name>`, looked up on the PATH. */
  readonly program: string;
  /** Given on standard input. */
  readonly input: string;
  readonly clock: Pick<Clock, 'setTimer'>;
  readonly timeoutMs: number;
  /** Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface HelperOutput {
  readonly exitCode: number | undefined;
  readonly stdout: string;
}

const maxOutputBytes = 65_536;

/**
 * `program get`. Rejects with CredentialError (`helperFailed` when it cannot be started or prints too much,
 * `helperTimeout`), or with the signal's reason. Standard error is not read: helpers chatter there, and it may hold
 * secrets.
 */
export function runHelper(run: HelperRun, signal: AbortSignal): Promise<HelperOutput> {
  const { program, input, clock, timeoutMs, environment } = run;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    // Its own process group, so that what it starts can be ended with it.
    const env = environment === undefined ? {} : { env: environment };
    const child = spawn(program, ['get'], { ...env, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    let isSettled = false;
    const end = (settle: () => void): void => {
      // Once: a process group that is gone may have given its number away.
      if (isSettled) return;
      isSettled = true;
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const fail = (error: Error): void =>
      end(() => {
        killGroup(child);
        reject(error);
      });
    const onAbort = (): void => fail(abortReason(signal));
    const timer = clock.setTimer(timeoutMs, () =>
      fail(new CredentialError('helperTimeout', `${program} did not answer within ${timeoutMs} ms`)),
    );
    signal.addEventListener('abort', onAbort, { once: true });
    child.on('error', (cause) =>
      fail(new CredentialError('helperFailed', `cannot run ${program}: ${errorCodeOf(cause)}`, { cause })),
    );
    child.stdout.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxOutputBytes)
        fail(new CredentialError('helperFailed', `${program} printed more than ${maxOutputBytes} bytes`));
      else chunks.push(chunk);
    });
    child.on('close', (code) =>
      end(() => resolve({ exitCode: code ?? undefined, stdout: Buffer.concat(chunks).toString('utf8') })),
    );
    // A helper that ends without reading its input is judged by its exit code, not by the broken pipe.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function killGroup(child: ChildProcess): void {
  child.stdout?.destroy();
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // Gone already, or set-uid and not ours to end.
    if (!['ESRCH', 'EPERM'].includes(errorCodeOf(error))) throw error;
  }
}
