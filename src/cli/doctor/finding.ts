/** What a check found: one line for a person, with what to do about it. */

export type Level = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly level: Level;
  /** What was looked at: `config`, `cache.root`, `listen`, or an upstream's key. */
  readonly subject: string;
  /** Which of its properties, in one word: `disk`, `tls`. Together with `subject` stable enough for scripts. */
  readonly check: string;
  /** A sentence without secrets. */
  readonly message: string;
  /** What to do; always there unless the level is ok. */
  readonly advice?: string;
}

export interface Reporter {
  ok(check: string, message: string): void;
  warn(check: string, message: string, advice: string): void;
  fail(check: string, message: string, advice: string): void;
}

/** Collects findings about one subject. */
export class Findings implements Reporter {
  readonly list: Finding[] = [];
  readonly #subject: string;

  constructor(subject: string) {
    this.#subject = subject;
  }

  ok(check: string, message: string): void {
    this.list.push({ level: 'ok', subject: this.#subject, check, message });
  }

  warn(check: string, message: string, advice: string): void {
    this.list.push({ level: 'warn', subject: this.#subject, check, message, advice });
  }

  fail(check: string, message: string, advice: string): void {
    this.list.push({ level: 'fail', subject: this.#subject, check, message, advice });
  }
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function sizeText(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return `${Number((bytes / 1024 ** power).toPrecision(3))} ${units[power] ?? 'B'}`;
}

const soonMs = 14 * 86_400_000;

/** Whoever renews in time has done so before: two weeks early, or at the last fifth of a short life. */
export function endsSoon(validFromMs: number, validToMs: number, nowMs: number): boolean {
  return validToMs - nowMs < Math.min(soonMs, (validToMs - validFromMs) / 5);
}
