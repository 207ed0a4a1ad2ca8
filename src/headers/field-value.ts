/** What may stand in a header's value (RFC 9110 §5.5), with the octets beyond ASCII that node:http lets through as well. */
const legal = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * The last gate before a value is written straight to a socket. node:http has its own; without one, a line end in a media
 * type that somebody published is a second answer.
 */
export function isFieldValue(text: string): boolean {
  return legal.test(text);
}
