/** What the kernel says a server has used: processor time and memory of a process and all below it, from /proc. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** USER_HZ, which Linux fixes at 100 for everything in /proc. */
const ticksPerSecond = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** Undefined when the process has ended meanwhile. */
function readStat(pid: string): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // ended between the listing and the look
  }
  // The name, in parentheses, may hold anything; the fields after it are counted from 3 (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  // utime, stime, and those of children that were waited for.
  return { pid: Number(pid), parent: field(4), ticks: field(14) + field(15) + field(16) + field(17) };
}

/** A process and all its descendants that live now. */
function tree(root: number): readonly Stat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(name) ?? []);
  const found = all.filter(({ pid }) => pid === root);
  for (const one of found) found.push(...all.filter(({ parent }) => parent === one.pid));
  return found;
}

/** User and system time of a process and all below it. */
export function cpuSeconds(root: number): number {
  return tree(root).reduce((sum, { ticks }) => sum + ticks, 0) / ticksPerSecond;
}

function memoryField(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0; // ended meanwhile
  }
}

/** Resident memory now, summed over the processes; pages that they share count for each. */
export function residentBytes(root: number): number {
  return tree(root).reduce((sum, { pid }) => sum + memoryField(pid, 'VmRSS'), 0);
}

/** The most that was resident since `resetPeak`. */
export function peakResidentBytes(root: number): number {
  return tree(root).reduce((sum, { pid }) => sum + memoryField(pid, 'VmHWM'), 0);
}

/** From here on the peak is counted anew (proc(5), clear_refs). */
export function resetPeak(root: number): void {
  for (const { pid } of tree(root)) writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Waits until the processes use next to no processor time any more, so that work done later is counted too. */
export async function cpuSettles(root: number, deadlineMs = 20_000): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  let before = cpuSeconds(root);
  for (let quiet = 0; quiet < 3 && Date.now() < deadline;) {
    await sleep(100);
    const now = cpuSeconds(root);
    quiet = now - before <= 1 / ticksPerSecond ? quiet + 1 : 0;
    before = now;
  }
}
