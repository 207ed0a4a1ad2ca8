/** Connections of a line: to addresses that were vetted on the other side of it, and to no others. */
import { BlockList, isIP, type LookupFunction, type Socket } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import { settled, type TlsSessions } from '../network/dial.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure, reasonOf } from '../contract/failure.ts';
import type { WorkerOrder, WorkerRoute, WorkerTls } from '../contract/worker-protocol.ts';
import { pooledTcp, pooledTls } from './socket.ts';

/** Resolves a socket that is ready for HTTP. Rejects with UpstreamError. */
export async function dialInWorker(
  { upstream, connectTimeoutMs, tlsTimeoutMs }: WorkerOrder,
  route: WorkerRoute,
  contexts: TlsContexts,
  clock: Clock,
  signal: AbortSignal,
): Promise<Socket> {
  const { host, port, tls } = route;
  const socket = open(route, upstream, contexts);
  const vetted = addressList(route);
  // Before the listener of Node that begins with the handshake.
  socket.prependOnceListener('connect', () => {
    const remote = socket.remoteAddress?.split('%', 1)[0] ?? '';
    const family = isIP(remote) === 6 ? 'ipv6' : 'ipv4';
    if (!vetted.check(remote, family)) {
      socket.destroy(failure('redirectRefused', upstream, `${host}: connected to an address that was not vetted`));
    }
  });
  // What the check says comes after the event that it looks at, when nobody else listens.
  socket.on('error', () => undefined);
  const options = { upstream, clock };
  await settled(socket, 'connect', `connecting to ${host}:${port}`, connectTimeoutMs, 'unreachable', options, signal);
  if (socket.errored !== null) throw socket.errored;
  if (tls !== undefined)
    await settled(socket, 'secureConnect', `TLS with ${host}`, tlsTimeoutMs, 'tls', options, signal);
  return socket;
}

function open(route: WorkerRoute, upstream: string, contexts: TlsContexts): Socket {
  const { host, port, tls, addresses } = route;
  const lookup: LookupFunction = (_, { all }, callback) => {
    const [first] = addresses;
    if (all === true || first === undefined) callback(null, [...addresses]);
    else callback(null, first.address, first.family);
  };
  const tcp = {
    host,
    port,
    lookup,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    autoSelectFamily: true,
  };
  if (tls === undefined) return pooledTcp(tcp);
  const sessions = contexts.sessions(`${host}:${port} ${tls.stamp}`);
  let secureContext: SecureContext;
  try {
    secureContext = contexts.of(tls);
  } catch (cause) {
    throw new UpstreamError('tls', `TLS files: ${reasonOf(cause)}`, { upstream, isDial: true, cause });
  }
  const socket = pooledTls({
    ...tcp,
    servername: isIP(host) === 0 ? host : '',
    secureContext,
    rejectUnauthorized: tls.isVerified,
    ALPNProtocols: ['http/1.1'],
    ...(sessions.session === undefined ? {} : { session: sessions.session }),
  });
  socket.on('session', (session: Buffer) => (sessions.session = session));
  return socket;
}

function addressList({ addresses }: WorkerRoute): BlockList {
  const list = new BlockList();
  for (const { address } of addresses) {
    const [plain = ''] = address.split('%', 1);
    list.addAddress(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** What this thread has made of TLS settings; each is made once. */
export class TlsContexts {
  readonly #contexts = new Map<string, SecureContext>();
  readonly #sessions = new LRUCache<string, TlsSessions>({ max: 256 });

  of({ stamp, ca, cert, key }: WorkerTls): SecureContext {
    const known = this.#contexts.get(stamp);
    if (known !== undefined) return known;
    const made = createSecureContext({
      ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
    this.#contexts.set(stamp, made);
    return made;
  }

  sessions(place: string): TlsSessions {
    const known = this.#sessions.get(place) ?? {};
    this.#sessions.set(place, known);
    return known;
  }
}
