/** Reading of JSON that others wrote: nothing is trusted, and every accessor answers undefined for the wrong type. */

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
  /** Fields of objects, all together: a parser makes a shape of each new name. Default 65,536. */
  readonly fields?: number;
  /** Items of arrays and fields of objects, all together. Default 262,144. */
  readonly items?: number;
}

/** What makes a document dear to parse, found in one pass that builds nothing; `undefined` where all is within bounds. */
export function jsonExcess(
  bytes: Uint8Array,
  { depth, fields = 65_536, items = 262_144 }: JsonBounds,
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
  return undefined;
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
