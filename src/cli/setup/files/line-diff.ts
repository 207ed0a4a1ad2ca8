/** What changes in a small text, in the form of `diff -u` with everything around it. */

const contextLines = 3;

/** One hunk from the first difference to the last. `before`: undefined for a new file. */
export function lineDiff(path: string, before: string | undefined, after: string): string {
  const [old, next] = [linesOf(before ?? ''), linesOf(after)];
  const start = commonLines(old, next);
  const end = commonLines(old.slice(start).toReversed(), next.slice(start).toReversed());
  const from = Math.max(0, start - contextLines);
  const lead = old.slice(from, start);
  const tail = old.slice(old.length - end).slice(0, contextLines);
  const removed = old.slice(start, old.length - end);
  const added = next.slice(start, next.length - end);
  const span = (count: number): string => `${count === 0 ? from : from + 1},${count}`;
  const around = lead.length + tail.length;
  return [
    `--- ${before === undefined ? '/dev/null' : path}`,
    `+++ ${path}`,
    `@@ -${span(around + removed.length)} +${span(around + added.length)} @@`,
    ...lead.map((line) => ` ${line}`),
    ...removed.map((line) => `-${line}`),
    ...added.map((line) => `+${line}`),
    ...tail.map((line) => ` ${line}`),
    '',
  ].join('\n');
}

function linesOf(text: string): readonly string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function commonLines(a: readonly string[], b: readonly string[]): number {
  let count = 0;
  while (count < a.length && count < b.length && a[count] === b[count]) count += 1;
  return count;
}
