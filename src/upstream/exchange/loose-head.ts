/**
 * Heads of answers that Go and curl read and the parser of undici refuses, though they are clear (RFC 9112 §6.3): a length
 * beside chunks, which count alone; the same length twice; blanks around it; 100 Continue that nobody asked for. They are put
 * in order before the parser sees them, on a connection that carries this one exchange: whoever sends such heads may have
 * lost count of what belongs to which answer. All else that is odd is left to the parser, which refuses it.
 */
import type { Socket } from 'node:net';

/** Where a head ends. */
const headEnd = '\r\n\r\n';
/** With interim answers before it. What is longer is the parser's to refuse. */
const maxHeadBytes = 64 * 1024;

/** The head of one answer with its end, put in order; undefined when it needs nothing, or cannot be helped. */
export function inOrder(head: string): string | undefined {
  const lines = head.slice(0, -headEnd.length).split('\r\n');
  const [status = ''] = lines;
  if (status.startsWith('HTTP/1.1 100 ') || status === 'HTTP/1.1 100') return '';
  // Of an answer in HTTP/1.0 nobody agrees what chunks mean, and a line that goes on in the next one would lose its end.
  if (!status.startsWith('HTTP/1.1 ') || lines.some((worker) => isBlank(worker[0]))) return undefined;
  const lengths = valuesOf(lines, 'content-length');
  const [length] = lengths;
  const isOne = length !== undefined && /^[0-9]{1,16}$/.test(length) && lengths.every((other) => other === length);
  if (!isOne) return undefined;
  const codings = valuesOf(lines, 'transfer-encoding');
  if (codings.length > 1 || (codings[0] ?? 'chunked').toLowerCase() !== 'chunked') return undefined;
  const others = lines.filter((worker) => !isNamed(worker, 'content-length'));
  const ordered = codings.length === 1 ? others : [...others, `Content-Length: ${length}`];
  const isSame = ordered.length === lines.length && lines.includes(`Content-Length: ${length}`);
  return isSame ? undefined : `${ordered.join('\r\n')}${headEnd}`;
}

function isNamed(worker: string, name: string): boolean {
  return (
    worker.length > name.length && worker[name.length] === ':' && worker.slice(0, name.length).toLowerCase() === name
  );
}

function valuesOf(lines: readonly string[], name: string): string[] {
  return lines.flatMap((worker) => (isNamed(worker, name) ? [trimmedBlanks(worker.slice(name.length + 1))] : []));
}

/** Without spaces and tabs around it. */
function trimmedBlanks(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isBlank(text[start])) start++;
  while (end > start && isBlank(text[end - 1])) end--;
  return text.slice(start, end);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

/**
 * The same socket, whose first answer is read with its head in order; `onChange` is called when that was needed. For a reader
 * that takes what `read()` gives, as undici does.
 */
export function orderly(socket: Socket, onChange: () => void): Socket {
  const readOn = socket.read.bind(socket) as (size?: number) => unknown;
  const held = Buffer.allocUnsafe(maxHeadBytes);
  let [from, filled, isDone] = [0, 0, false];
  /** What the parser may have of it; undefined: more has to come first. */
  const arrived = (bytes: Buffer): Buffer | undefined => {
    const copied = bytes.copy(held, filled);
    let searched = Math.max(from, filled - headEnd.length + 1);
    filled += copied;
    const pass = (head: string): Buffer => {
      isDone = true;
      return Buffer.concat([Buffer.from(head, 'latin1'), held.subarray(from, filled), bytes.subarray(copied)]);
    };
    for (;;) {
      const at = held.subarray(0, filled).indexOf(headEnd, searched);
      if (at === -1) return filled < maxHeadBytes ? undefined : pass('');
      searched = at + headEnd.length;
      const head = inOrder(held.toString('latin1', from, searched));
      if (head === undefined) return pass('');
      onChange();
      from = searched;
      if (head !== '') return pass(head);
    }
  };
  socket.read = (size?: number): unknown => {
    for (;;) {
      const bytes = readOn(size);
      if (isDone || !Buffer.isBuffer(bytes)) return bytes;
      const given = arrived(bytes);
      if (given !== undefined) return given;
    }
  };
  return socket;
}
