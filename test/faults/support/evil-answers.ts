/** Statuses, headers and redirects that are not what was asked for. The words are explained in evil-cells. */
import { type Behaviour, answer, body, headers, range, redirect } from '../../support/upstream/behaviour.ts';
import type { Misbehaviour, Rule, Subject } from './evil-cells.ts';

const row = (name: string, expect: string, ...rule: Rule): Misbehaviour => ({ name, expect, rules: () => [rule] });
const rowOf = (name: string, expect: string, rule: (subject: Subject) => Rule): Misbehaviour => ({
  name,
  expect,
  rules: (subject) => [rule(subject)],
});
const all = (word: string): string => Array.from({ length: 7 }, () => word).join(' ');
const right = all('right');

const statuses: readonly (readonly [word: string, ...statuses: readonly number[]])[] = [
  ['502', 201, 202, 203, 204, 205, 206, 300, 304, 305, 306, 400, 402, 405, 406, 409, 418, 425, 431, 500, 501, 502, 503],
  ['502', 504, 505, 599, 600, 999],
  ['403', 401, 403, 451],
  ['404', 404, 410],
  ['504', 408],
  ['429', 429],
];

const answers: readonly Misbehaviour[] = [
  ...statuses.flatMap(([word, ...list]) => list.map((status) => row(`status ${status}`, all(word), answer(status)))),
  row('status 200 and a 206 head', all('502'), { status: 206, headers: { 'Content-Range': 'bytes 0-9/10' } }),
  row('416 for everything', all('502'), answer(416)),
  row('404 with HTML', all('404'), answer(404, { body: '<html>', headers: { 'Content-Type': 'text/html' } })),
  row('429 with Retry-After: 1', all('429'), answer(429, { headers: { 'Retry-After': '1' } })),
  row('429 with Retry-After: -5', all('429'), answer(429, { headers: { 'Retry-After': '-5' } })),
  row('429 with Retry-After: soon', all('429'), answer(429, { headers: { 'Retry-After': 'soon' } })),
  row(
    '503 with a date in Retry-After',
    all('502'),
    answer(503, { headers: { 'Retry-After': new Date().toUTCString() } }),
  ),
  row('401 with Basic', all('403'), challenge('Basic realm="x"')),
  row('401 with 20 challenges', all('403'), challenge(Array.from({ length: 20 }, (_, i) => `X${i} realm="x"`))),
  row('401 with an unreadable challenge', all('502'), challenge('Bearer realm="x, service=')),
  row('401 with an empty challenge', all('403'), challenge('')),
  row('401 with a realm of file:', all('403|502'), challenge('Bearer realm="file:///etc/passwd",service="x"')),
  rowOf('401 with a realm that is down', all('502'), () => [
    challenge('Bearer realm="http://127.0.0.1:1/t",service="x"'),
  ]),
  rowOf('401 with a realm that gives no token', all('403|502'), ({ thief }) => [
    challenge(`Bearer realm="${thief}/token",service="x"`),
  ]),
];

function challenge(value: string | readonly string[]): Behaviour {
  return answer(401, { headers: { 'WWW-Authenticate': value } });
}

const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`X-Header-${index}`, 'x']));
const digestIs = (value: string | readonly string[] | undefined): Behaviour =>
  headers({ 'Docker-Content-Digest': value });

/*                                             blob small head range middle tag digest */
const heads: readonly Misbehaviour[] = [
  row('no digest header', right, digestIs(undefined)),
  row('the digest of something else', 'right right 502 right right 502 right', digestIs(`sha256:${'0'.repeat(64)}`)),
  rowOf('a digest in capitals', right, ({ digest }) => [digestIs(digest.toUpperCase())]),
  row('a digest that is none', right, digestIs('sha256:zz/../../etc')),
  row('a digest of an unknown algorithm', right, digestIs(`sha3:${'0'.repeat(64)}`)),
  row('an empty ETag and an old date', right, headers({ ETag: '', Date: 'Thu, 01 Jan 1970 00:00:00 GMT' })),
  row(
    'cookies and a link to a thief',
    right,
    headers({ 'Set-Cookie': ['a=b', 'c=d'], Link: '<http://thief/>; rel="next"' }),
  ),
  row('Connection that names other headers', right, headers({ Connection: 'X-Secret, keep-alive', 'X-Secret': 's' })),
  row('200 headers', right, { headers: many }),
  row('a header of 15 kB', right, headers({ 'X-Long': 'x'.repeat(15_000) })),
  row('no Content-Type', right, headers({ 'Content-Type': undefined })),
  row('a Content-Type that is no type', right, headers({ 'Content-Type': '§$%' })),
  row(
    'right bytes as HTML',
    'right right right right right 502 502',
    headers({ 'Content-Type': 'text/html; charset=utf-8' }),
  ),
  row('an index by its head, an image by its body', 'right right right right right 502 502', {
    headers: { 'Content-Type': 'application/vnd.oci.image.index.v1+json' },
  }),
  row('a charset', right, headers({ 'Content-Type': 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' })),
  row('every range ignored', right, range('ignore')),
  row('every range refused', right, range(416)),
  row('every range shifted', right, range({ shift: 7 })),
  row('a Content-Range with status 200', right, headers({ 'Content-Range': 'bytes 5-9/10' })),
];

const to =
  (location: string | ((subject: Subject) => string), status = 307) =>
  (subject: Subject): Rule => [redirect(typeof location === 'string' ? location : location(subject), status)];
const nowhere = (name: string, location: string | ((subject: Subject) => string), status = 307): Misbehaviour =>
  rowOf(`a redirect ${name}`, all('502'), to(location, status));

const redirects: readonly Misbehaviour[] = [
  {
    name: 'a redirect to itself',
    expect: all('502'),
    rules: () => [[redirect(({ target }) => target)]],
  },
  {
    name: 'redirects without end',
    expect: all('502'),
    rules: () => [[redirect(({ path, id }) => `${path}?hop=${id}`)]],
  },
  ...[301, 302, 303, 307, 308].map((status) =>
    row(
      `one redirect with ${status}, relative`,
      right,
      { times: 1 },
      redirect(({ path }) => `${path}?again`, status),
    ),
  ),
  nowhere('to a file', 'file:///etc/passwd'),
  nowhere('to ftp', 'ftp://127.0.0.1/x'),
  nowhere('to a script', 'javascript:alert(1)'),
  nowhere('to data', 'data:application/octet-stream,hello'),
  nowhere('with user info', ({ thief }) => thief.replace('http://', 'http://user:password@')),
  nowhere('to nowhere', ''),
  nowhere('to what is no URL', 'http://[::1'),
  nowhere('to an empty host', 'http://'),
  nowhere('to a port that nobody listens on', 'http://127.0.0.1:1/x'),
  nowhere('of 40 kB', `/x?${'y'.repeat(40_000)}`),
  nowhere('of 1 MB', `/x?${'y'.repeat(1_000_000)}`),
  rowOf('a redirect to the storage of a thief', 'right right right right right 404 404', ({ thief, digest }) => [
    redirect(`${thief}/cdn/${digest}`),
  ]),
  rowOf('a redirect to the registry of a thief', right, ({ thief, digest, repository }) => [
    redirect(({ kind }) => `${thief}/v2/${repository}/${kind}s/${digest}`),
  ]),
  rowOf('a redirect to a thief without a scheme', right, ({ thief, digest, repository }) => [
    redirect(({ kind }) => `${thief.replace('http:', '')}/v2/${repository}/${kind}s/${digest}`),
  ]),
  rowOf('a redirect to wrong bytes', 'broken 502 right broken right 502 502', ({ thief, digest, repository }) => [
    redirect(({ kind }) => `${thief}/v2/${repository}/${kind}s/${digest}?flip`),
  ]),
  row(
    'a redirect that is also an answer',
    all('502'),
    { status: 307, headers: { Location: 'file:///x' } },
    body('hello'),
  ),
];

export { answers, heads, redirects };
