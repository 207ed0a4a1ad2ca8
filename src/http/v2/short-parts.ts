/**
 * Sends the short parts of a multipart body: those that lie together are read at once, and they leave with their heads in
 * as few writes as they fit into. One read, write and wait for each made a thousand parts of a byte cost more than a
 * second.
 */
import type { BlobReader, BodySpan } from '../../fill/contract/blob-view.ts';
import { BrokenBodyError } from '../../fill/contract/errors.ts';
import type { BodyWriter } from '../body/body.ts';
import { type BufferPool, smallBufferBytes } from '../body/buffer-pool.ts';
import type { Multipart } from '../../headers/multipart.ts';
import type { SpanList } from '../../headers/packed-ranges.ts';
import type { PartGroup } from './part-groups.ts';
import type { PartReaders } from './part-readers.ts';

/** Of one answer at the same time: enough to cost less than one after the other, and not all that the disk can do. */
const mostReads = 8;
/** A part of this length is worth a read by itself, straight to where it leaves from. */
const directBytes = 16 * 1024;
const nothing: BodySpan = { start: 0, end: 0 };

export interface Parts {
  readonly spans: SpanList<BodySpan>;
  /** Undefined: there is one part, and nothing around it. */
  readonly frame: Multipart | undefined;
}

/** Sends all of them. Rejects as `BodyWriter.span` does. */
export async function sendParts(
  writer: BodyWriter,
  pool: BufferPool,
  readers: PartReaders,
  { spans, frame }: Parts,
  signal: AbortSignal,
): Promise<void> {
  using short = new ShortParts(writer, pool);
  for (let next = 0; next < spans.length;) {
    // What is there does not wait for what may have to come first.
    if (!readers.isShared) await short.flush();
    const reader = await readers.current();
    const together = frame === undefined ? [] : togetherFrom(readers, next);
    if (frame !== undefined && together.length > 0) {
      await short.add(reader, together, spans, frame, signal);
    } else {
      const { first, count, span } = readers.groupFrom(next) ?? { first: 0, count: 1, span: nothing };
      await short.flush();
      if (frame !== undefined) writer.text(frame.partHead(first));
      await writer.span(reader, span, signal);
      next += count;
    }
    readers.done();
    for (const { count } of together) next += count;
  }
  await short.flush();
  if (frame !== undefined) writer.text(frame.tail);
}

/** Short groups that are read at the same time: several, where one reader has them all, as fit into a small buffer. */
function togetherFrom(readers: PartReaders, from: number): readonly PartGroup[] {
  const together: PartGroup[] = [];
  const most = readers.isShared ? mostReads : 1;
  let [next, bytes] = [from, 0];
  while (together.length < most) {
    const group = readers.groupFrom(next);
    if (group === undefined) break;
    const length = lengthOf(group);
    bytes += length;
    if (bytes > smallBufferBytes || (length >= directBytes && together.length > 0)) break;
    together.push(group);
    next += group.count;
    if (length >= directBytes) break;
  }
  return together;
}

class ShortParts implements Disposable {
  readonly #writer: BodyWriter;
  readonly #pool: BufferPool;
  /** What leaves next. */
  #buffer: Buffer | undefined;
  #length = 0;
  #blobBytes = 0;

  constructor(writer: BodyWriter, pool: BufferPool) {
    this.#writer = writer;
    this.#pool = pool;
  }

  /** The parts of `groups`, which fit into a small buffer, each behind its head. Rejects as `BodyWriter.span` does. */
  async add(
    reader: BlobReader,
    groups: readonly PartGroup[],
    spans: SpanList<BodySpan>,
    frame: Multipart,
    signal: AbortSignal,
  ): Promise<void> {
    // Nothing is held while it has to come first.
    await reader.readable(groups[0]?.span.start ?? 0, signal);
    const [only] = groups;
    if (groups.length === 1 && only?.count === 1 && (await this.#addDirect(reader, only, frame, signal))) return;
    // Of this length: a slow client keeps it, and the buffer that is on its way, for as long as it likes.
    const buffer = Buffer.allocUnsafe(groups.reduce((sum, { span }) => sum + (span.end ?? 0) - span.start, 0));
    let taken = 0;
    const places = groups.map((group) => {
      const { start, end = start } = group.span;
      const bytes = buffer.subarray(taken, (taken += end - start));
      return { group, start, bytes, read: readAll(reader, start, bytes, signal) };
    });
    await Promise.all(places.map(({ read }) => read));
    for (const { group, start, bytes } of places) {
      for (let index = group.first; index < group.first + group.count; index++) {
        const span = spans.at(index) ?? nothing;
        await this.#put(Buffer.from(frame.partHead(index), 'latin1'), false);
        await this.#put(bytes.subarray(span.start - start, span.end === undefined ? 0 : span.end - start), true);
      }
    }
  }

  /** One part, without a buffer beside the one that it leaves in. False: it is too long or too short for that. */
  async #addDirect(reader: BlobReader, group: PartGroup, frame: Multipart, signal: AbortSignal): Promise<boolean> {
    const head = Buffer.from(frame.partHead(group.first), 'latin1');
    const length = lengthOf(group);
    if (length < directBytes || head.byteLength + length > smallBufferBytes) return false;
    if (this.#length + head.byteLength + length > smallBufferBytes) await this.#send();
    await this.#put(head, false);
    const { start } = group.span;
    // It has room for the part, so the head has not filled it.
    if (this.#buffer === undefined) throw new Error('the buffer of a part has gone');
    await readAll(reader, start, this.#buffer.subarray(this.#length, this.#length + length), signal);
    this.#length += length;
    this.#blobBytes += length;
    if (this.#length === this.#buffer.byteLength) await this.#send();
    return true;
  }

  /** Sends what has gathered. Resolves when the socket has taken it. */
  async flush(): Promise<void> {
    await this.#send();
    await this.#writer.taken();
  }

  [Symbol.dispose](): void {
    if (this.#buffer !== undefined) this.#pool.release(this.#buffer);
    this.#buffer = undefined;
  }

  async #put(piece: Uint8Array, isBlob: boolean): Promise<void> {
    for (let done = 0; done < piece.byteLength;) {
      if (this.#buffer === undefined) {
        // One at a time: what is on its way is another one.
        await this.#writer.taken();
        this.#buffer = this.#pool.takeSmall();
      }
      const count = Math.min(piece.byteLength - done, this.#buffer.byteLength - this.#length);
      this.#buffer.set(piece.subarray(done, done + count), this.#length);
      this.#length += count;
      if (isBlob) this.#blobBytes += count;
      done += count;
      if (this.#length === this.#buffer.byteLength) await this.#send();
    }
  }

  async #send(): Promise<void> {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    const [length, blobBytes] = [this.#length, this.#blobBytes];
    this.#buffer = undefined;
    this.#length = 0;
    this.#blobBytes = 0;
    await this.#writer.buffer(buffer, length, blobBytes);
  }
}

function lengthOf({ span }: PartGroup): number {
  return (span.end ?? Infinity) - span.start;
}

async function readAll(reader: BlobReader, start: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const end = start + bytes.byteLength;
  for (let position = start; position < end;) {
    const available = Math.min(end, await reader.readable(position, signal)) - position;
    // Those would be other bytes' places: nothing may follow.
    if (available <= 0) throw new BrokenBodyError(`the body ended at ${position} of ${end}`);
    position += await reader.read(bytes, position - start, available, position);
  }
}
