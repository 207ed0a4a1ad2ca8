/** Text that others wrote, made fit for a message or a line of the log. */

const maxMessageLength = 600;

/** Without credentials and signed queries of URLs, though no message should hold any. */
export function withoutSecrets(text: string): string {
  const anonymous = text.replace(/(https?:\/\/)[^\s/@]*@/gi, '$1');
  return anonymous.replace(/https?:\/\/\S*/gi, (url) => url.replace(/[?#][^\s"')]*/g, ''));
}

/** One line of bounded length, without secrets. */
export function readable(text: string): string {
  const line = withoutSecrets(text.slice(0, 4 * maxMessageLength).replace(/[\p{Cc}\u2028\u2029]+/gu, ' '));
  return line.length <= maxMessageLength ? line : `${line.slice(0, maxMessageLength)}…`;
}

/** Controls, separators that end lines elsewhere, and characters that turn the direction of text. */
const unsafe = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
const everyUnsafe = new RegExp(unsafe, 'gu');

/** The same text with nothing in it that could pass for another line. */
export function escaped(text: string): string {
  if (!unsafe.test(text)) return text;
  return text.replace(everyUnsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
