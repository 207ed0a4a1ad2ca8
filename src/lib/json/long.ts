/**
 * JSON of others with one long array in it: lists of tags and of referrers, and what was kept of them. All of it parsed at
 * once takes up to half a second, in which nobody is served. So it is looked through, and its array is parsed, a step after
 * the other, and others get their turn between two.
 *
 * A thread of its own was tried first: what it had read had to be copied back, which cost as much here, and 200 MB.
 */
import { setImmediate } from 'node:timers/promises';
import { isJsonObject, type JsonBounds, parseJson } from './json.ts';

export interface Steps {
  /** Looked through, or parsed, in one step. */
  readonly stepBytes: number;
  /** The most that one step may turn out to take: a single item, or all that stands around the array. */
  readonly mostBytes: number;
  /** Lets others have their turn. */
  readonly pause: () => Promise<unknown>;
}

const usual: Steps = { stepBytes: 256 * 1024, mostBytes: 1024 * 1024, pause: () => setImmediate() };

/** Where the array is: between its brackets, cut behind some of its items. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly cuts: readonly number[];
}

/**
 * What `parseJson` says, where the array lies under `path`, a name in a name. Besides, a long document is undefined that
 * has the array twice, or more than 1 MiB around it or in one item.
 */
export async function parseLongJson(
  text: Uint8Array | string,
  path: readonly string[],
  bounds: JsonBounds,
  { stepBytes, mostBytes, pause }: Steps = usual,
): Promise<unknown> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  if (bytes.byteLength <= stepBytes) return parseJson(bytes, bounds);
  const looking = placeIn(bytes, path, bounds, stepBytes);
  let look = looking.next();
  for (; look.done !== true; look = looking.next()) await pause();
  const place = look.value;
  if (place === undefined || bytes.byteLength - (place.end - place.start) > mostBytes) return undefined;
  try {
    const items: unknown[] = [];
    const ends = [...place.cuts, place.end];
    for (const [index, end] of ends.entries()) {
      const start = index === 0 ? place.start : (ends[index - 1] ?? 0) + 1;
      if (end - start > mostBytes) return undefined;
      const some = itemsOf(bytes.subarray(start, end));
      // A comma with nothing behind it.
      if (some.length === 0 && ends.length > 1) return undefined;
      for (const item of some) items.push(item);
      await pause();
    }
    const around = Buffer.concat([bytes.subarray(0, place.start), bytes.subarray(place.end)]);
    return withItems(JSON.parse(new TextDecoder().decode(around)), path, items);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The parser's own message quotes the text.
    return undefined;
  }
}

function itemsOf(bytes: Uint8Array): readonly unknown[] {
  // What would be taken for a mark at the start of a whole text is an error in the middle of one.
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  return JSON.parse(`[${text}]`) as readonly unknown[];
}

/** Puts the items where the document has an empty array. */
function withItems(document: unknown, path: readonly string[], items: readonly unknown[]): unknown {
  let holder = document;
  for (const name of path.slice(0, -1)) holder = isJsonObject(holder) ? holder[name] : undefined;
  const name = path.at(-1) ?? '';
  const empty = isJsonObject(holder) ? holder[name] : undefined;
  // Another of this name came after it.
  if (!Array.isArray(empty) || empty.length > 0) return undefined;
  Object.assign(holder as object, { [name]: items });
  return document;
}

/**
 * Looks for it in one pass, with the bounds of `jsonExcess`, and yields after each step. That the rest is well-formed is
 * left to whoever parses the pieces: brackets are counted and not told apart, so a wrong one is in a piece that is no JSON.
 */
export function* placeIn(
  bytes: Uint8Array,
  path: readonly string[],
  { depth, fields = 65_536, items = 262_144 }: JsonBounds,
  stepBytes: number,
): Generator<void, Place | undefined> {
  const names = path.map((name) => Buffer.from(name));
  const cuts: number[] = [];
  let [level, colons, starts] = [0, 0, 0];
  let inString = false;
  /** How many of `path` lead to the object that is open. */
  let matched = 0;
  let [stringStart, stringEnd] = [0, 0];
  /** The value that comes is that of the next name of `path`. */
  let isNext = false;
  let [start, end, arrayLevel, lastCut] = [-1, -1, -1, 0];
  for (let [i, pauseAt] = [0, stepBytes]; i < bytes.length; i++) {
    if (i >= pauseAt) {
      pauseAt += stepBytes;
      yield;
    }
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) {
        inString = false;
        stringEnd = i;
      }
    } else if (byte === 0x22) {
      inString = true;
      isNext = false;
      stringStart = i + 1;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++level > depth) return undefined;
      starts++;
      if (isNext && byte === 0x7b && matched + 1 < names.length) matched++;
      else if (isNext && byte === 0x5b && matched + 1 === names.length) {
        if (start !== -1) return undefined;
        start = i + 1;
        lastCut = start;
        arrayLevel = level;
      }
      isNext = false;
    } else if (byte === 0x7d || byte === 0x5d) {
      if (level === arrayLevel) {
        if (byte !== 0x5d) return undefined;
        end = i;
        arrayLevel = -1;
      } else if (matched > 0 && level === matched + 1) matched--;
      level--;
      isNext = false;
    } else if (byte === 0x2c) {
      starts++;
      isNext = false;
      if (level === arrayLevel && i - lastCut >= stepBytes) {
        cuts.push(i);
        lastCut = i;
      }
    } else if (byte === 0x3a) {
      colons++;
      const name = names[matched];
      isNext = level === matched + 1 && name?.equals(bytes.subarray(stringStart, stringEnd)) === true;
    }
    if (colons > fields || starts > items) return undefined;
  }
  return end === -1 ? undefined : { start, end, cuts };
}
