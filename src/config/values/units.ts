/**
 * Sizes, percentages and durations as people write them, parsed exactly: no rounding, no guessing between 1000 and
 * 1024, no number without its unit where a unit could be misread.
 */

/** What a parser of one written value answers: the value, or what is wrong with it and what is allowed. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };

/** Either an amount of bytes or a share of something, as written. */
export type SizeOrPercent =
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'percent'; readonly percent: number };

const sizeUnits: ReadonlyMap<string, bigint> = new Map([
  ['B', 1n],
  ['kB', 1000n],
  ['KB', 1000n],
  ['MB', 1000n ** 2n],
  ['GB', 1000n ** 3n],
  ['TB', 1000n ** 4n],
  ['PB', 1000n ** 5n],
  ['KiB', 1024n],
  ['MiB', 1024n ** 2n],
  ['GiB', 1024n ** 3n],
  ['TiB', 1024n ** 4n],
  ['PiB', 1024n ** 5n],
]);

const durationUnits: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** A hundred years: longer than any use, and far below where milliseconds lose exactness. */
const maxDurationMs = 36_500 * 86_400_000;

// The patterns also go into the JSON Schema, so they are strings that mean the same in every regex dialect.
export const sizePattern = '^[0-9]+(\\.[0-9]{1,3})?(B|kB|KB|MB|GB|TB|PB|KiB|MiB|GiB|TiB|PiB)$|^[0-9]+$';
export const percentPattern = '^[0-9]{1,2}(\\.[0-9]{1,2})?%$';
export const durationPattern = '^[0-9]+(ms|s|m|h|d)$';

const sizeShape = /^(?<whole>[0-9]{1,20})(?:\.(?<part>[0-9]{1,3}))?(?<unit>[A-Za-z]*)$/;
const sizeHelp = 'write a size like 10GiB, 500MB or 1048576 (bytes)';
const durationHelp = 'write a duration like 250ms, 30s, 5m, 24h or 30d';

/** Bytes. A fraction is allowed where it comes to whole bytes: `1.5GiB`. */
export function parseSize(text: string): Parsed<number> {
  const groups = sizeShape.exec(text)?.groups;
  if (groups === undefined) return { problem: sizeHelp };
  const { whole = '', part = '', unit = '' } = groups;
  const factor = unit === '' ? 1n : sizeUnits.get(unit);
  if (factor === undefined) return { problem: unknownSizeUnit(`${whole}${part === '' ? '' : `.${part}`}`, unit) };
  const scale = 10n ** BigInt(part.length);
  const scaled = BigInt(whole + part) * factor;
  if (scaled % scale !== 0n) return { problem: 'a size must come to whole bytes' };
  const bytes = scaled / scale;
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) return { problem: 'a size must be below 8PiB' };
  return { value: Number(bytes) };
}

function unknownSizeUnit(amount: string, unit: string): string {
  const letter = /^(?<letter>[kKmMgGtTpP])(?:i|ib|b|iB|Ib|IB)?$/.exec(unit)?.groups?.['letter']?.toUpperCase();
  if (letter === undefined) return sizeHelp;
  return `write ${amount}${letter}B (powers of 1000) or ${amount}${letter}iB (powers of 1024)`;
}

/** The shortest exact way to write that many bytes; `parseSize` of it gives the same number. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0';
  for (const unit of ['PiB', 'PB', 'TiB', 'TB', 'GiB', 'GB', 'MiB', 'MB', 'KiB', 'kB']) {
    const factor = Number(sizeUnits.get(unit));
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return String(bytes);
}

/** From 0 to less than 100, since nothing is left beside everything; at most two decimals: `5%`, `2.5%`. */
export function parsePercent(text: string): Parsed<number> {
  const isShare = new RegExp(percentPattern).test(text);
  return isShare ? { value: Number(text.slice(0, -1)) } : { problem: 'write a share below 100%, like 5%' };
}

export function parseSizeOrPercent(text: string): Parsed<SizeOrPercent> {
  if (text.endsWith('%')) {
    const share = parsePercent(text);
    return 'problem' in share ? share : { value: { kind: 'percent', percent: share.value } };
  }
  const size = parseSize(text);
  if ('problem' in size) return { problem: `${size.problem}, or a share like 5%` };
  return { value: { kind: 'bytes', bytes: size.value } };
}

/** Milliseconds. One whole number and one unit; a bare number is refused because nobody knows its unit. */
export function parseDuration(text: string): Parsed<number> {
  const groups = /^(?<amount>[0-9]{1,15})(?<unit>[a-z]*)$/.exec(text)?.groups;
  const factor = durationUnits.get(groups?.['unit'] ?? '');
  if (groups === undefined || factor === undefined) return { problem: durationHelp };
  const durationMs = Number(groups['amount']) * factor;
  if (durationMs > maxDurationMs) return { problem: 'a duration must be at most 36500d' };
  return { value: durationMs };
}

/** The shortest exact way to write that many milliseconds; `parseDuration` of it gives the same number. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return '0s';
  for (const unit of ['d', 'h', 'm', 's']) {
    const factor = durationUnits.get(unit) ?? 1;
    if (durationMs % factor === 0) return `${durationMs / factor}${unit}`;
  }
  return `${durationMs}ms`;
}

/** Bytes that stay free, by the size of the file system. */
export function minFreeBytes(minFree: SizeOrPercent): (totalBytes: number) => number {
  if (minFree.kind === 'bytes') return () => minFree.bytes;
  return (totalBytes) => Math.ceil((totalBytes * minFree.percent) / 100);
}
