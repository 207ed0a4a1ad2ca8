/** How far the suites go. `FAULTS_LONG=1` is for a night, or for a change of what they are about; each count has a variable of its own. */

export const isLong = process.env['FAULTS_LONG'] === '1';

/** The number in `variable` where it is set, else what belongs to the tier. Throws on what is no number above 0. */
export function countOf(variable: string, usual: number, long: number): number {
  const count = Number(process.env[variable] ?? (isLong ? long : usual));
  if (!(count > 0)) throw new Error(`${variable} is not a number above 0`);
  return count;
}
