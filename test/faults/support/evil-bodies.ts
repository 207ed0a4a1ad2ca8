/** What an upstream may do to bytes, framing and connections. The words are explained in evil-cells. */
import { randomBytesOf } from '../../support/byte-source.ts';
import {
  body,
  damage,
  declare,
  encode,
  flip,
  framing,
  headers,
  html,
  json,
  last,
  raw,
  trailing,
} from '../../support/upstream/behaviour.ts';
import type { Misbehaviour, Rule, Subject } from './evil-cells.ts';

const row = (name: string, expect: string, ...rule: Rule): Misbehaviour => ({ name, expect, rules: () => [rule] });
const rowOf = (name: string, expect: string, rule: (subject: Subject) => Rule): Misbehaviour => ({
  name,
  expect,
  rules: (subject) => [rule(subject)],
});
const zeros = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.length);
const longer = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, Buffer.from('x')]);
const twice = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, bytes]);
const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
const manifestOf5MiB = `{"schemaVersion":2,"x":"${'y'.repeat(5 * 1024 * 1024)}"}`;
const error = json({ errors: [{ code: 'UNAUTHORIZED', message: 'with status 200' }] });

/*                                                  blob   small head  range  middle   tag digest */
export const bodies: readonly Misbehaviour[] = [
  row('a wrong bit at the start', 'broken 502 right broken right 502 502', flip(0)),
  rowOf('a wrong bit in the middle', 'broken 502 right broken unproved 502 502', ({ size }) => [
    flip(Math.floor(size * 0.5025)),
  ]),
  row('a wrong bit at the end', 'broken 502 right broken right 502 502', flip(-1)),
  row(
    'one byte too few',
    'broken 502 claim broken unproved|broken|502 502 502',
    damage((bytes) => bytes.subarray(0, -1)),
  ),
  row(
    'half of the bytes',
    'broken 502 claim broken 416 502 502',
    damage((bytes) => bytes.subarray(0, bytes.length >> 1)),
  ),
  row('no byte', '502 502 unsized 502 502 502 502', body('')),
  row('one byte too many', 'broken 502 claim broken|502 unproved 502 502', damage(longer)),
  row('everything twice', 'broken 502 claim broken|502 unproved 502 502', damage(twice)),
  row('nothing but zeros', 'broken 502 right broken unproved 502 502', damage(zeros)),
  rowOf('another object of the same size', 'broken 502 right broken unproved 502 502', ({ size }) => [
    body(randomBytesOf(size, 'another')),
  ]),
  row(
    'another object of another size',
    'broken broken claim broken unproved 502 502',
    body(randomBytesOf(180_000, 'x')),
  ),
  row('a small other object', '502 502 claim 502 502 502 502', body('hello')),
  row('a page of a hotel network', '502 502 502 502 416|502 502 502', html()),
  row('an OCI error with status 200', '502 502 claim 502 502 502 502', error),
  row('an OCI error as plain text', '502 502 claim 502 502 502 502', error, headers({ 'Content-Type': 'text/plain' })),
  row('JSON of 100,000 levels', 'broken broken right broken unproved 502 502', body(deep)),
  row('a document of 5 MiB', 'broken broken claim broken unproved 502 502', body(manifestOf5MiB)),
  row('gzip', 'broken 502 unsized broken unproved right right', encode('gzip')),
  row('brotli', 'broken 502 unsized broken unproved 502 502', encode('br')),
  row('Content-Encoding: x5', 'right right unsized right right right right', headers({ 'Content-Encoding': 'x5' })),
  row(
    'Content-Encoding: identity',
    'right right right right right right right',
    headers({ 'Content-Encoding': 'identity' }),
  ),
];

const lengthOf7 = headers({ 'Content-Length': '7' });
const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n';
const well = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n';

/*                                                       blob small head range middle tag digest */
export const framings: readonly Misbehaviour[] = [
  row('chunks', 'right right unsized right right right right', framing('chunked')),
  row('a body that ends with the connection', 'right right unsized right right right right', framing('close')),
  row('HTTP/1.0', 'right right unsized right right right right', framing('close-1.0')),
  row('no length and no word about the end', 'right right unsized right right right right', framing('none')),
  row('Connection: close', 'right right right right right right right', last()),
  row('a connection that closes in silence', 'right right right right right right right', last('silent')),
  row('a length of -5', '502 502 502 502 502 502 502', declare('-5')),
  row('a length of +5', '502 502 502 502 502 502 502', declare('+5')),
  row('a length of "5, 5"', '502 502 502 502 502 502 502', declare('5, 5')),
  row('a length of 0x10', '502 502 502 502 502 502 502', declare('0x10')),
  row('a length of 2^53 + 1', '502 502 502 502 502 502 502', declare('9007199254740993')),
  row('a length of 2^64', '502 502 502 502 502 502 502', declare('18446744073709551616')),
  row('a length of 0 before a body', '502 502 unsized 502 502 502 502', declare(0)),
  row('a length of 5 before a longer body', '502 502 claim 502 502 502 502', declare(5)),
  row('two different lengths', '502 502 502 502 502 502 502', headers({ 'content-length': ['5', '6'] })),
  row('chunks beside a length', 'right right unsized right right right right', framing('chunked'), lengthOf7),
  row('no chunks beside a length', '502 502 unsized 502 502 502 502', headers({ 'Transfer-Encoding': 'chunked' })),
  row('gzip as a transfer coding', '502 502 502 502 502 502 502', headers({ 'Transfer-Encoding': 'gzip, chunked' })),
  row(
    'a chunk size that is no number',
    '502 502 unsized 502 502 502 502',
    raw(chunkedHead('zz\r\nhello\r\n0\r\n\r\n')),
  ),
  row('a chunk size of 2^64', '502 502 unsized 502 502 502 502', raw(chunkedHead('10000000000000000\r\nhello'))),
  row('nothing at all', '502 502 502 502 502 502 502', raw('')),
  row('the greeting of another protocol', '502 502 502 502 502 502 502', raw('SSH-2.0-OpenSSH_9.2\r\n')),
  row('a TLS alert', '502 502 502 502 502 502 502', raw(Buffer.from('15030300020228', 'hex'))),
  row('HTTP/0.9', '502 502 502 502 502 502 502', raw('hello')),
  row('HTTP/2.0 over the same connection', '502 502 - 502 502 502 502', raw(`${well.replace('1.1', '2.0')}\r\nhello`)),
  row('a status that is no number', '502 502 502 502 502 502 502', raw('HTTP/1.1 abc OK\r\n\r\n')),
  row('a space before a colon', '502 502 502 502 502 502 502', raw(`${well}X-A : b\r\n\r\nhello`)),
  row('a folded header', '502 502 502 502 502 502 502', raw(`${well}X-A: b\r\n\tc\r\n\r\nhello`)),
  row('a NUL in a header', '502 502 502 502 502 502 502', raw(`${well}X-A: b\0c\r\n\r\nhello`)),
  row('a bare carriage return in a header', '502 502 502 502 502 502 502', raw(`${well}X-A: b\rc\r\n\r\nhello`)),
  row('a head of 100 kB', '502 502 502 502 502 502 502', raw(`${well}X-A: ${'b'.repeat(100_000)}\r\n\r\nhello`)),
  row('100 Continue', '502 502 502 502 502 502 502', raw('HTTP/1.1 100 Continue\r\n\r\n')),
  row('1,000 early hints and no answer', '502 502 502 502 502 502 502', raw(interim.repeat(1000))),
  row(
    '101 Switching Protocols',
    '502 502 502 502 502 502 502',
    raw('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
  ),
  row(
    'a second answer that nobody asked for',
    'right right right right right right|502 right|502',
    trailing(`${well}\r\nwrong`),
  ),
  row('garbage after the answer', 'right right right right right right|502 right|502', trailing('garbage')),
];

function chunkedHead(rest: string): string {
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${rest}`;
}
