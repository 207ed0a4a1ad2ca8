/**
 * One question to several places in order. The next one is asked when the one before has failed, or beside it when that is
 * late. The first that answers ends the others; a refusal counts only when no other is under way.
 */
import type { Clock } from '../../lib/clock.ts';

export interface RaceOptions {
  readonly clock: Pick<Clock, 'setTimer'>;
  /** A place that has said nothing for so long gets the next one beside it. */
  readonly lateAfterMs: number;
  /** It is an answer, though not the one hoped for: nobody else is asked because of it. */
  readonly isRefusal: (error: unknown) => boolean;
}

/** Calls `begun` when its time begins to run. Its signal aborts when another one has answered. */
export type Runner<T> = (signal: AbortSignal, begun: () => void) => Promise<T>;

type Lost = { readonly error: unknown };

/** Rejects with the refusal of the first place in order that gave one, else with `failureOf` all failures, in order. */
export function race<T>(
  runners: readonly Runner<T>[],
  { clock, lateAfterMs, isRefusal }: RaceOptions,
  failureOf: (errors: readonly unknown[]) => unknown,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const lost: (Lost | undefined)[] = [];
    const controls = new Map<number, AbortController>();
    let isOver = false;
    let next = 0;
    const finish = (end: () => void): void => {
      isOver = true;
      for (const control of controls.values()) control.abort(new Error('another endpoint has answered'));
      end();
    };
    const start = (): void => {
      const runner = runners[next];
      if (isOver || runner === undefined) return;
      const index = next++;
      const control = new AbortController();
      controls.set(index, control);
      let timer: Disposable | undefined;
      const begun = (): void => {
        timer ??= clock.setTimer(lateAfterMs, start);
      };
      const ended = (): void => {
        timer?.[Symbol.dispose]();
        controls.delete(index);
      };
      runner(control.signal, begun).then(
        (value) => {
          ended();
          if (!isOver) finish(() => resolve(value));
        },
        (error: unknown) => {
          ended();
          lost[index] = { error };
          if (!isOver) settle(error);
        },
      );
    };
    const settle = (error: unknown): void => {
      if (!isRefusal(error) && next < runners.length) return start();
      if (controls.size > 0) return undefined;
      const errors = lost.flatMap((one) => (one === undefined ? [] : [one.error]));
      const refusal = errors.find((one) => isRefusal(one));
      return finish(() => reject(asError(refusal ?? failureOf(errors))));
    };
    start();
  });
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error('failed', { cause });
}
