/** Reading of JSON that others wrote: nothing is trusted, and every accessor answers undefined for the wrong type. */
import { randomInt } from 'node:crypto';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Own properties only: a document cannot reach what objects inherit. */
export function field(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

export function textField(object: JsonObject, name: string): string | undefined {
  const value = field(object, name);
  return typeof value === 'string' ? value : undefined;
}

/** The array under `name`; anything else, null included (Go writes null for an empty list), reads as empty. */
export function listField(object: JsonObject, name: string): readonly unknown[] {
  const value = field(object, name);
  return Array.isArray(value) ? value : [];
}

/** The text values of a string map, without a prototype; undefined when there is no object under `name`. */
export function textMapField(object: JsonObject, name: string): Readonly<Record<string, string>> | undefined {
  const value = field(object, name);
  if (!isJsonObject(value)) return undefined;
  const map = Object.create(null) as Record<string, string>;
  for (const [key, text] of Object.entries(value)) if (typeof text === 'string') map[key] = text;
  return map;
}

export interface JsonBounds {
  /** Levels of arrays and objects. */
  readonly depth: number;
  /** Fields of objects, all together. Default 65,536. */
  readonly fields?: number;
  /** Different names of fields: a parser makes a text and a shape of each, 65,536 of them in a tenth of a second. Default 16,384. */
  readonly names?: number;
  /** Items of arrays and fields of objects, all together. Default 262,144. */
  readonly items?: number;
}

/** What makes a document dear to parse, found in one pass that builds nothing; `undefined` where all is within bounds. */
export function jsonExcess(
  bytes: Uint8Array,
  { depth, fields = 65_536, names = 16_384, items = 262_144 }: JsonBounds,
): 'depth' | 'size' | undefined {
  let level = 0;
  let colons = 0;
  let starts = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++level > depth) return 'depth';
      starts++;
    } else if (byte === 0x7d || byte === 0x5d) level--;
    else if (byte === 0x2c) starts++;
    else if (byte === 0x3a) colons++;
    if (colons > fields || starts > items) return 'size';
  }
  return colons > names && hasMoreNames(bytes, names) ? 'size' : undefined;
}

/** Nobody outside knows which names fall together. */
const seed = randomInt(2 ** 31);
const nameBits = 18;

/** Counted by their hashes, so a little too few. */
function hasMoreNames(bytes: Uint8Array, most: number): boolean {
  const seen = new Uint32Array(2 ** nameBits / 32);
  let found = 0;
  let hash = seed;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (inString) {
      if (byte === 0x22) inString = false;
      else hash = Math.imul(hash ^ byte, 0x01_00_01_93);
      if (byte === 0x5c) hash = Math.imul(hash ^ (bytes[++i] ?? 0), 0x01_00_01_93);
    } else if (byte === 0x22) {
      inString = true;
      hash = seed;
    } else if (byte === 0x3a) {
      const place = (hash ^ (hash >>> 15)) >>> (32 - nameBits);
      const bit = 1 << (place & 31);
      const word = seen[place >>> 5] ?? 0;
      if ((word & bit) === 0 && ++found > most) return true;
      seen[place >>> 5] = word | bit;
    }
  }
  return false;
}

/** The value of a document that others wrote; undefined for what is no JSON, and for what is beyond the bounds. */
export function parseJson(text: Uint8Array | string, bounds: JsonBounds): unknown {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  if (jsonExcess(bytes, bounds) !== undefined) return undefined;
  try {
    return JSON.parse(typeof text === 'string' ? text : new TextDecoder().decode(text));
  } catch {
    // The parser's own message quotes the text, which may be a secret or long.
    return undefined;
  }
}
