/**
 * On a download worker: the hash of one ingest. Bytes written where it stands are hashed from memory; anything else is read
 * back once the contiguous prefix has reached it.
 */
import { IntervalSet } from '../../lib/interval-set.ts';
import { digestHex, hasher, type Hasher } from '../../oci/digest.ts';
import { PartFileReader } from '../../store/files/part-file.ts';
import type { FileOrder, FileReply } from './messages.ts';

export class ThreadHash {
  readonly order: FileOrder;
  readonly #hash: Hasher;
  readonly #written = new IntervalSet();
  readonly #reply: (reply: FileReply) => void;
  readonly #turns: HashTurns;
  #hand: PartFileReader | undefined;
  #position = 0;
  #isBroken = false;

  constructor(order: FileOrder, turns: HashTurns, reply: (reply: FileReply) => void) {
    this.order = order;
    this.#hash = hasher(order.algorithm);
    this.#turns = turns;
    this.#reply = reply;
    // Now, while the path still names it.
    this.#attempt(() => void (this.#hand = new PartFileReader(order.path, order.identity)));
  }

  get position(): number {
    return this.#position;
  }

  /** `[start, end)` is in the file; `bytes`, if they are at hand, are what it holds. */
  wrote(start: number, end: number, bytes?: Uint8Array): void {
    this.#written.add(start, end);
    if (bytes !== undefined && start === this.#position && !this.#isBroken) {
      this.#hash.update(bytes);
      this.#position = end;
    }
    if (this.isBehind) this.#turns.add(this);
  }

  /** There are bytes that must be read back. */
  get isBehind(): boolean {
    return !this.#isBroken && this.#written.runEnd(this.#position) > this.#position;
  }

  /** Reads back and hashes one slice. */
  step(buffer: Uint8Array): void {
    this.#attempt(() => {
      const length = Math.min(buffer.byteLength, this.#written.runEnd(this.#position) - this.#position);
      const count = this.#hand?.read(buffer, length, this.#position) ?? 0;
      if (count === 0) throw new Error(`the ingest ends at ${this.#position}, before its written prefix`);
      this.#hash.update(buffer.subarray(0, count));
      this.#position += count;
      this.#reply({ kind: 'hashed', position: this.#position });
    });
  }

  digest(): void {
    this.#reply({ kind: 'digest', hex: digestHex(this.#hash.copy().digest()) });
  }

  close(): void {
    this.#isBroken = true;
    this.#turns.delete(this);
    this.#hand?.close();
    this.#hand = undefined;
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#isBroken = true;
      this.#reply({ kind: 'unreadable', reason: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** A slice takes less than a millisecond, so that moves go on between two of them. */
const sliceBytes = 1024 * 1024;

/** Whose hash is read back next: in turn, live fills before all others. */
export class HashTurns {
  readonly #waiting = new Set<ThreadHash>();
  readonly #buffer = Buffer.allocUnsafeSlow(sliceBytes);
  #isArmed = false;

  add(hash: ThreadHash): void {
    this.#waiting.add(hash);
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(() => this.#step());
  }

  delete(hash: ThreadHash): void {
    this.#waiting.delete(hash);
  }

  #step(): void {
    this.#isArmed = false;
    const next = this.#next();
    if (next === undefined) return;
    this.#waiting.delete(next);
    next.step(this.#buffer);
    const more = next.isBehind ? next : this.#next();
    if (more !== undefined) this.add(more);
  }

  #next(): ThreadHash | undefined {
    let first: ThreadHash | undefined;
    for (const hash of this.#waiting) {
      if (hash.order.isLive) return hash;
      first ??= hash;
    }
    return first;
  }
}
