/**
 * The kinds of values that a key can have. Each is a valibot schema that reads one value exactly, says what to write
 * instead, and carries what the generated reference and JSON Schema need: its type in words, its shape, its meaning.
 */
import * as v from 'valibot';
import {
  durationPattern,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  parseSizeOrPercent,
  type Parsed,
  percentPattern,
  sizePattern,
  type SizeOrPercent,
} from './units.ts';

/** What a variable's text is turned into before it is read as this kind. */
export type Written = 'text' | 'number' | 'boolean';

interface Kind<T> {
  /** In the reference: `size`, `duration`, … */
  readonly type: string;
  readonly written: Written;
  readonly json: Readonly<Record<string, unknown>>;
  /** Takes a scalar as YAML gave it: string, number, boolean. */
  readonly read: (value: unknown) => Parsed<T>;
}

/** Metadata that a leaf carries under this name in `x-weir`; editors and validators ignore it. */
export interface LeafNotes {
  readonly type: string;
  readonly written: Written;
}

export type Leaf<T> = v.GenericSchema<unknown, T>;

function leaf<T>(meaning: string, kind: Kind<T>): Leaf<T> {
  const notes: LeafNotes = { type: kind.type, written: kind.written };
  return v.pipe(
    v.unknown(),
    v.metadata({ ...kind.json, 'x-weir': notes }),
    v.description(meaning),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const read = kind.read(dataset.value);
      if ('value' in read) return read.value;
      addIssue({ message: read.problem });
      return NEVER;
    }),
  );
}

/** A string read by `parse`; anything that YAML made a number or a boolean of is refused with the same words. */
export function text<T>(
  meaning: string,
  type: string,
  parse: (text: string) => Parsed<T>,
  json: Readonly<Record<string, unknown>> = {},
): Leaf<T> {
  const read = (value: unknown): Parsed<T> => {
    if (typeof value === 'string') return parse(value);
    const help = parse('');
    return { problem: 'problem' in help ? help.problem : 'write a text in quotes' };
  };
  return leaf(meaning, { type, written: 'text', json: { type: 'string', ...json }, read });
}

export function boolean(meaning: string): Leaf<boolean> {
  return leaf(meaning, {
    type: 'boolean',
    written: 'boolean',
    json: { type: 'boolean' },
    read: (value) => (typeof value === 'boolean' ? { value } : { problem: 'write true or false' }),
  });
}

export function integer(meaning: string, bounds: { readonly min: number; readonly max: number }): Leaf<number> {
  const { min, max } = bounds;
  return leaf(meaning, {
    type: `integer, ${min} to ${max}`,
    written: 'number',
    json: { type: 'integer', minimum: min, maximum: max },
    read: (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? { value }
        : { problem: `write a whole number from ${min} to ${max}` },
  });
}

export function oneOf<const T extends string>(meaning: string, choices: readonly T[]): Leaf<T> {
  const list = choices.map((choice) => `\`${choice}\``).join(', ');
  return leaf(meaning, {
    type: list,
    written: 'text',
    json: { enum: choices },
    read: (value) => {
      const chosen = choices.find((choice) => choice === value);
      return chosen === undefined ? { problem: `write one of ${choices.join(', ')}` } : { value: chosen };
    },
  });
}

/** Bytes, at least `min`. */
export function size(meaning: string, min: number): Leaf<number> {
  return leaf(meaning, {
    type: 'size',
    written: 'text',
    json: { type: ['string', 'integer'], pattern: sizePattern },
    read: (value) => atLeast(parseSize(numeral(value)), min, formatSize),
  });
}

/** A size below `minBytes` is a share whose % was forgotten; 0 stands. */
export function sizeOrPercent(meaning: string, minBytes: number): Leaf<SizeOrPercent> {
  return leaf(meaning, {
    type: 'size or percentage',
    written: 'text',
    json: { type: ['string', 'integer'], pattern: `${sizePattern}|${percentPattern}` },
    read(value) {
      const parsed = parseSizeOrPercent(numeral(value));
      const bytes = 'value' in parsed && parsed.value.kind === 'bytes' ? parsed.value.bytes : 0;
      if (bytes === 0 || bytes >= minBytes) return parsed;
      return { problem: `write a share like 5%, 0, or at least ${formatSize(minBytes)}` };
    },
  });
}

/** Bytes per second, written like a size with or without `/s`. */
export function rate(meaning: string, min: number): Leaf<number> {
  return leaf(meaning, {
    type: 'size per second',
    written: 'text',
    json: { type: ['string', 'integer'], pattern: sizePattern.replaceAll('$', '(/s)?$') },
    read: (value) => atLeast(parseSize(numeral(value).replace(/\/s$/, '')), min, formatSize),
  });
}

/** Milliseconds, from `minMs` to `maxMs`. */
export function duration(meaning: string, minMs = 0, maxMs = Infinity): Leaf<number> {
  return leaf(meaning, {
    type: 'duration',
    written: 'text',
    json: { type: 'string', pattern: durationPattern },
    read(value) {
      const parsed = atLeast(parseDuration(numeral(value)), minMs, formatDuration);
      return 'value' in parsed && parsed.value > maxMs ? { problem: `write at most ${formatDuration(maxMs)}` } : parsed;
    },
  });
}

/** A path as written: not empty, no NUL. What it is relative to is decided where it is resolved. */
export function path(meaning: string): Leaf<string> {
  return text(meaning, 'path', (written) =>
    written === '' || written.includes('\0') ? { problem: 'write the path of a file' } : { value: written },
  );
}

export function list<T>(meaning: string, item: Leaf<T>) {
  return v.optional(v.pipe(v.array(item, 'write a list, like [a, b]'), v.description(meaning)), []);
}

/** A size may be a bare number of bytes in YAML. Not a fraction, and nothing that is written with an exponent. */
function numeral(value: unknown): string {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : '';
  return typeof value === 'string' ? value : '';
}

function atLeast(parsed: Parsed<number>, min: number, format: (value: number) => string): Parsed<number> {
  return 'value' in parsed && parsed.value < min ? { problem: `write at least ${format(min)}` } : parsed;
}
