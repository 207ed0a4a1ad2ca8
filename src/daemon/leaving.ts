/** How long leaving may take at most. */
import type { Clock } from '../lib/clock.ts';

/** What is left to put away when the grace is over gets so much longer, and no more. */
const lastMs = 700;

/**
 * As `work`, but resolves at the latest a moment after `deadline` has aborted, after a call of `onLate`. What is not put away
 * by then stays as a kill would leave it, which every start can deal with.
 */
export async function leave(
  work: Promise<void>,
  deadline: AbortSignal,
  clock: Pick<Clock, 'setTimer'>,
  onLate: () => void,
): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timers = new DisposableStack();
  const onDeadline = (): void => {
    const giveUp = (): void => {
      onLate();
      late.resolve();
    };
    timers.use(clock.setTimer(lastMs, giveUp));
  };
  if (deadline.aborted) onDeadline();
  else deadline.addEventListener('abort', onDeadline, { once: true });
  try {
    await Promise.race([work, late.promise]);
  } finally {
    deadline.removeEventListener('abort', onDeadline);
    timers.dispose();
    // Its failure concerns nobody any more once it was too late.
    work.catch(() => undefined);
  }
}
