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

/** Deepest nesting of arrays and objects in JSON text, found without building anything. Strings are skipped. */
export function jsonDepth(bytes: Uint8Array): number {
  return jsonShape(bytes).depth;
}

export interface JsonShape {
  /** Deepest nesting of arrays and objects. */
  readonly depth: number;
  /** Elements and members in all: what the text costs to be parsed, besides its length. An empty list counts as one. */
  readonly entries: number;
}

/** The shape of JSON text, found without building anything. Strings are skipped. */
export function jsonShape(bytes: Uint8Array): JsonShape {
  let entries = 0;
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x2c) entries++;
    else if (byte === 0x7b || byte === 0x5b) {
      entries++;
      deepest = Math.max(deepest, ++depth);
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return { depth: deepest, entries };
}
