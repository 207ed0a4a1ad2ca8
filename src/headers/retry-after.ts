/** How long to wait before asking again. */

const weekday = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /;

/** No wait that somebody asks for counts for longer: a hint is no reason to go without something for hours. */
export const longestRetryAfterMs = 600_000;
/** More is no wait that anybody means. */
const longestMeantMs = 86_400_000;

/**
 * How long a Retry-After value asks to wait, in milliseconds and 10 minutes at most; undefined when it says nothing that
 * anybody can mean. Some registries send the Unix time, in seconds or milliseconds, at which to come back (docker/hub-feedback #2459).
 */
export function retryWait(header: string, nowMs: number): number | undefined {
  const saidMs = parseRetryAfter(header, nowMs);
  if (saidMs === undefined) return undefined;
  const asTimes = /^[0-9]+$/.test(header.trim()) ? [saidMs - nowMs, saidMs / 1000 - nowMs] : [];
  const waitMs = asTimes.find((leftMs) => Math.abs(leftMs) <= longestMeantMs) ?? saidMs;
  return waitMs > longestMeantMs ? undefined : Math.min(Math.max(0, waitMs), longestRetryAfterMs);
}

/**
 * A Retry-After value (RFC 9110 §10.2.3) in milliseconds from `nowMs`: whole seconds, or a date in any of the three
 * formats of HTTP. A date that has passed is 0; anything else is undefined. There is no upper limit: the caller caps.
 */
export function parseRetryAfter(header: string, nowMs: number): number | undefined {
  const text = header.trim();
  if (/^[0-9]+$/.test(text)) return Number(text) * 1000;
  if (!weekday.test(text)) return undefined;
  // The oldest format names no zone, and means GMT like the others.
  const atMs = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
