/** A place where work stops until the test lets it go: what tests use instead of sleeping. */

/** Waits in tests end with an error after this long, so that a lost wake-up has a name. */
export const patienceMs = 20_000;

export class Gate {
  readonly name: string;
  #isOpen = false;
  #arrivals = 0;
  #held: (() => void)[] = [];
  #watchers: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(name = 'gate') {
    this.name = name;
  }

  /** How many have come here so far, passed ones included. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** How many stand here now. */
  get held(): number {
    return this.#held.length;
  }

  /** Called by the work: resolves when the gate is open, or when `release` picks it. */
  pass(): Promise<void> {
    this.#arrivals++;
    this.#watchers = this.#watchers.filter(({ count, resolve }) => {
      if (count > this.#arrivals) return true;
      resolve();
      return false;
    });
    if (this.#isOpen) return Promise.resolve();
    return new Promise((resolve) => this.#held.push(resolve));
  }

  /** Resolves when `count` have arrived in all; rejects after `timeoutMs`. */
  arrived(count = 1, timeoutMs: number = patienceMs): Promise<void> {
    if (this.#arrivals >= count) return Promise.resolve();
    const waiting = new Promise<void>((resolve) => this.#watchers.push({ count, resolve }));
    return within(timeoutMs, waiting, () => `${this.#arrivals} of ${count} arrived at "${this.name}"`);
  }

  /** Lets the first `count` of those who stand here go on. */
  release(count = 1): void {
    for (const go of this.#held.splice(0, count)) go();
  }

  /** Lets everybody through, from now on. */
  open(): void {
    this.#isOpen = true;
    this.release(this.#held.length);
  }

  close(): void {
    this.#isOpen = false;
  }
}

/** `promise`, or an error that says what was waited for after `timeoutMs` real milliseconds. */
export async function within<T>(timeoutMs: number, promise: Promise<T>, describe: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${describe()}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when `isTrue()` is; asks again every few milliseconds. Rejects with `describe()` after `timeoutMs`. */
export async function eventually(
  isTrue: () => boolean | Promise<boolean>,
  describe: () => string = () => isTrue.toString(),
  timeoutMs: number = patienceMs,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}
