/** Where an upstream may break off, and how it may lie when it is asked to go on. The words are explained in evil-cells. */
import {
  type Behaviour,
  answer,
  cut,
  flip,
  framing,
  type Place,
  range,
  type RangeAnswer,
} from '../../support/upstream/behaviour.ts';
import type { RuleOptions } from '../../support/upstream/rules.ts';
import type { Misbehaviour, Rule, Subject } from './evil-cells.ts';

type At = Place | ((size: number) => number);
const once: RuleOptions = { times: 1 };
const place = (at: At, { size }: Subject): Place => (typeof at === 'function' ? at(size) : at);
const row = (name: string, expect: string, rule: (subject: Subject) => Rule): Misbehaviour => ({
  name,
  expect,
  rules: (subject) => [rule(subject)],
});

const half: At = (size) => size >> 1;
const third: At = (size) => Math.floor(size / 3);

/** Where the connection ends, and what it means when that happens at every answer and when it happens to the first one only. */
/*                                            blob small head range middle tag digest */
const places: readonly (readonly [string, At, string, string])[] = [
  // A part asks for itself what the question about the whole did not bring.
  ['before the answer', 'before', '502 502 502 502 502 502 502', '502 502 502 right right 502 502'],
  ['in the status line', 'status', '502 502 502 502 502 502 502', '502 502 502 right right 502 502'],
  ['in the head', 'headers', '502 502 502 502 502 502 502', '502 502 502 right right 502 502'],
  ['before the first byte', 0, '502 502 right 502 502 502 502', 'right right right right right 502 502'],
  ['after a third', third, 'right right right right right 502 502', 'right right right right right 502 502'],
  ['after half', half, 'right right right right right 502 502', 'right right right right right 502 502'],
  // The rest is one byte, which never comes.
  ['before the last byte', -1, 'broken 502 right broken broken 502 502', 'right right right right right 502 502'],
  [
    'after the last byte',
    'body-end',
    'right right right right right right right',
    'right right right right right right right',
  ],
];

export const cuts: readonly Misbehaviour[] = places.flatMap(([name, at, always, first]) =>
  (['fin', 'rst'] as const).flatMap((how) => [
    row(`${how} ${name}, always`, always, (subject) => [cut(place(at, subject), how)]),
    row(`${how} ${name}, once`, first, (subject) => [once, cut(place(at, subject), how)]),
  ]),
);

const unframed = 'right|broken right|broken|502 unsized right|broken right|broken 502 502';

/** Bodies whose framing does not show that something is missing. */
export const unframedCuts: readonly Misbehaviour[] = (['chunked', 'close', 'close-1.0'] as const).flatMap((how) =>
  (['fin', 'rst'] as const).map((end) =>
    row(`${how} that ends with ${end} after half`, unframed, (subject) => [
      framing(how),
      cut(place(half, subject), end),
    ]),
  ),
);

/** The first answer is cut after half; this is what comes of the attempts to go on. */
const resumed = (name: string, expect: string, after: (subject: Subject) => readonly Behaviour[]): Misbehaviour => ({
  name: `a cut after half, then ${name}`,
  expect,
  rules: (subject) => [after(subject), [once, cut(place(half, subject))]],
});
const resumedRange = (name: string, expect: string, how: (subject: Subject) => RangeAnswer): Misbehaviour =>
  resumed(name, expect, (subject) => [range(how(subject))]);

/**
 * What gives a fill up after half of the bytes meets its client before the head, and is told, or after it, and breaks the body.
 */
/*                                           blob small head range middle tag digest */
export const resumes: readonly Misbehaviour[] = [
  resumedRange('no idea of Range', 'right right - right right - -', () => 'ignore'),
  ...([400, 403, 404, 416, 501] as const).map((status) =>
    resumedRange(`${status} for a range`, 'right right - right right - -', () => status),
  ),
  resumedRange('500 for a range', 'broken|502 502 - broken|502 right - -', () => 500),
  resumedRange('another part', 'right right - right right - -', () => ({ shift: 1 })),
  resumedRange('another total size', 'broken|502 502 - broken|502 right - -', ({ size }) => ({ total: size + 1 })),
  resumedRange('no total size', 'right right - right right - -', () => ({ total: '*' })),
  resumed('a wrong bit', 'broken|502 502 - broken|502 right|broken - -', ({ size }) => [flip(size - 10)]),
  resumed('404', 'broken|404 404 - broken|404 right - -', () => [answer(404)]),
  resumed('403', 'broken|403 403 - broken|403 right - -', () => [answer(403)]),
  resumed('500', 'broken|502 502 - broken|502 right - -', () => [answer(500)]),
];
