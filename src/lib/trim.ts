/** The text without any of `characters` at its end, at the cost of its length; `/x+$/` costs the square of a run inside. */
export function trimmedEnd(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}
