/** The ways in which an upstream can be out of order, and what each means for a client of weir. */
import { type Server, createServer } from 'node:net';
import { once } from 'node:events';
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { answer, drip, raw, stall } from '../../support/upstream/behaviour.ts';

export interface Outage {
  readonly name: string;
  /** Ends what was well; returns what makes it well again. */
  readonly begin: (upstream: ScriptedUpstream) => Promise<() => Promise<void>>;
  /** A tag whose time is up: `stale` (200, marked), `fresh` (the upstream can still confirm it), or a status. */
  readonly tag: 'stale' | 'fresh' | 403 | 404;
  /** Status of a tag, a blob and referrers that are not cached. */
  readonly coldTag: number;
  readonly coldBlob: number;
  readonly coldReferrers: number;
  readonly tls?: boolean;
  /** Weir has a credential. */
  readonly login?: boolean;
}

const always =
  (behaviour: ScriptedUpstream['always']): Outage['begin'] =>
  (upstream) => {
    upstream.always = behaviour;
    return Promise.resolve(() => {
      upstream.clearRules();
      return Promise.resolve();
    });
  };

const down: Outage['begin'] = async (upstream) => {
  await upstream.stop();
  return () => upstream.listen();
};

const silent: Outage['begin'] = (upstream) => {
  upstream.accept = 'hang';
  upstream.cutAll();
  return Promise.resolve(() => {
    upstream.accept = 'serve';
    upstream.cutAll();
    return Promise.resolve();
  });
};

/** Something answers at the port, and it is not TLS. */
const plain: Outage['begin'] = async (upstream) => {
  await upstream.stop();
  const server: Server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 400 Bad Request\r\n\r\n', () => socket.destroy());
  });
  server.listen(upstream.port, '127.0.0.1');
  await once(server, 'listening');
  return async () => {
    server.close();
    await once(server, 'close');
    await upstream.listen();
  };
};

export const login = { username: 'weir', password: 'right' };

const refusesLogin: Outage['begin'] = (upstream) => {
  const before = upstream.auth;
  upstream.auth = { kind: 'basic', users: { [login.username]: 'changed' } };
  return Promise.resolve(() => {
    upstream.auth = before;
    return Promise.resolve();
  });
};

const stale = 'stale';

/** Every one of them cannot give what is not cached; the statuses are those of docs/architecture.md. */
export const outages: readonly Outage[] = [
  { name: 'refused', begin: down, tag: stale, coldTag: 502, coldBlob: 502, coldReferrers: 502 },
  { name: 'hung', begin: silent, tag: stale, coldTag: 504, coldBlob: 504, coldReferrers: 504 },
  {
    name: 'hung-in-head',
    begin: always(stall('headers')),
    tag: stale,
    coldTag: 504,
    coldBlob: 504,
    coldReferrers: 504,
  },
  { name: 'hung-after-head', begin: always(stall(0)), tag: 'fresh', coldTag: 504, coldBlob: 504, coldReferrers: 504 },
  { name: 'credential', begin: refusesLogin, tag: stale, coldTag: 502, coldBlob: 502, coldReferrers: 502, login: true },
  { name: 'status-403', begin: always(answer(403)), tag: 403, coldTag: 403, coldBlob: 403, coldReferrers: 403 },
  { name: 'status-401', begin: always(answer(401)), tag: 403, coldTag: 403, coldBlob: 403, coldReferrers: 403 },
  { name: 'status-404', begin: always(answer(404)), tag: 404, coldTag: 404, coldBlob: 404, coldReferrers: 404 },
  {
    name: 'status-429',
    begin: always(answer(429, { headers: { 'Retry-After': '7' } })),
    tag: stale,
    coldTag: 429,
    coldBlob: 429,
    coldReferrers: 429,
  },
  { name: 'status-500', begin: always(answer(500)), tag: stale, coldTag: 502, coldBlob: 502, coldReferrers: 502 },
  { name: 'status-503', begin: always(answer(503)), tag: stale, coldTag: 502, coldBlob: 502, coldReferrers: 502 },
  {
    name: 'garbage',
    begin: always(raw('garbage\r\n\r\n')),
    tag: stale,
    coldTag: 502,
    coldBlob: 502,
    coldReferrers: 502,
  },
  { name: 'no-tls', begin: plain, tag: stale, coldTag: 502, coldBlob: 502, coldReferrers: 502, tls: true },
  // A byte a second: the head of a blob comes in time, and its body never.
  { name: 'drip', begin: always(drip(1000)), tag: 'fresh', coldTag: 504, coldBlob: 200, coldReferrers: 504 },
];
