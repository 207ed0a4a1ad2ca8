/** Whether a test gave back what it took: file descriptors, and what keeps an event loop alive. */
import { readdirSync, readlinkSync } from 'node:fs';
import { eventually } from './gate.ts';

export interface ResourceSnapshot {
  /** Open descriptors with what they point to, where the system tells (Linux). */
  readonly descriptors: readonly string[];
  /** Counts by type, e.g. TCPSocketWrap, Timeout. */
  readonly handles: ReadonlyMap<string, number>;
}

/** Comings and goings of the test runner, or of the look itself. */
const ignoredHandles: ReadonlySet<string> = new Set([
  'FSReqCallback',
  'FSReqPromise',
  'Immediate',
  'CloseReq',
  'TickObject',
]);

export function takeSnapshot(): ResourceSnapshot {
  const handles = new Map<string, number>();
  for (const type of process.getActiveResourcesInfo()) {
    if (!ignoredHandles.has(type)) handles.set(type, (handles.get(type) ?? 0) + 1);
  }
  return { descriptors: openDescriptors(), handles };
}

/** What there is now beyond `before`, in words; empty when nothing is. Descriptors are compared by number, not by name. */
export function leaksSince(before: ResourceSnapshot): readonly string[] {
  const now = takeSnapshot();
  const more = [...now.handles]
    .map(([type, count]) => ({ type, extra: count - (before.handles.get(type) ?? 0) }))
    .filter(({ extra }) => extra > 0)
    .map(({ type, extra }) => `${extra} more ${type}`);
  if (now.descriptors.length <= before.descriptors.length) return more;
  const known = new Set(before.descriptors);
  return [...more, ...now.descriptors.filter((name) => !known.has(name)).map((name) => `open: ${name}`)];
}

/** Waits until everything beyond `before` is gone; rejects with the list of what stays. */
export async function expectNoLeaks(before: ResourceSnapshot, timeoutMs = 10_000): Promise<void> {
  let left: readonly string[] = [];
  await eventually(
    () => {
      left = leaksSince(before);
      return left.length === 0;
    },
    () => `still there: ${left.join(', ')}`,
    timeoutMs,
  );
}

function openDescriptors(): string[] {
  try {
    return readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
      } catch {
        // The descriptor of this very listing is closed again.
        return [];
      }
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
