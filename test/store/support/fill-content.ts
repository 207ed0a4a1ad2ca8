/** Sizes of the blobs that `fill-child` makes: most small, some of many pieces; never one byte per piece of many. */
export function blobSize(number: number): number {
  return number % 7 === 0 ? 40 : 10_000 + ((number * 7919) % 300_000);
}
