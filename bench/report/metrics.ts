/** The figures of a sample: what they are called, how they are shown, and which way is good. */

export interface Metric {
  readonly title: string;
  readonly isMoreBetter: boolean;
}

export const metrics: Readonly<Record<string, Metric>> = {
  perSecond: { title: 'requests/s', isMoreBetter: true },
  gbPerSecond: { title: 'GB/s', isMoreBetter: true },
  seconds: { title: 's', isMoreBetter: false },
  firstByteMs: { title: 'first byte, ms (last client)', isMoreBetter: false },
  p50Ms: { title: 'p50 ms', isMoreBetter: false },
  p99Ms: { title: 'p99 ms', isMoreBetter: false },
  cpuPerGb: { title: 'CPU s/GB', isMoreBetter: false },
  cpuPerMillion: { title: 'CPU s per million requests', isMoreBetter: false },
  peakMb: { title: 'peak RSS, MB', isMoreBetter: false },
  overIdleMb: { title: 'RSS over idle, MB', isMoreBetter: false },
  upstreamTimes: { title: 'upstream bytes, times the content', isMoreBetter: false },
  diskMb: { title: 'most on disk, MB', isMoreBetter: false },
  startMs: { title: 'ms to the first answer', isMoreBetter: false },
  residentMb: { title: 'RSS, MB', isMoreBetter: false },
};

/** Three significant digits, whole numbers from a hundred on. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  if (value === 0) return '0';
  return String(Number(value.toPrecision(3)));
}
