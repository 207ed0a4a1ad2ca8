/**
 * Who may keep a connection when there are too many. An address may use all that nobody else asks for. When connections
 * run short, those that are idle go first, the longest idle one of the address that has most; where that address has none,
 * a newcomer with fewer is taken in beyond the limit, and a second later, if it is still too many, the slowest connection
 * of the greediest address is reset.
 *
 * Each thread that serves does this for its own connections.
 */
import type { Socket } from 'node:net';
import type { ClientAddresses } from '../../lib/sharing/client-address.ts';
import type { Clock } from '../../lib/clock.ts';
import { breakConnection } from './pipelining.ts';

export interface ConnectionSharesOptions {
  /** Connections at which room is made; undefined: there is always room. */
  readonly maxConnections?: number | undefined;
  readonly clients: ClientAddresses;
  readonly clock: Clock;
}

interface Connection {
  /** The one that answers are written to. */
  socket: Socket;
  readonly peer: string | undefined;
  /** Of the last request, where the peer is a proxy that is trusted. */
  client: string;
  /** Answers under way. */
  busy: number;
  /** Monotonic: since when it is idle, where it is. */
  sinceMs: number;
  /** Bytes written when the present wait began. */
  writtenBefore: number;
}

/** How long somebody with less than his share waits until somebody with more loses a connection that is in use. */
export const patienceMs = 1_000;
/** Newcomers that are let in beyond the limit while they wait. */
export const maxBeyond = 64;

export class ConnectionShares {
  readonly #options: ConnectionSharesOptions;
  readonly #connections = new Set<Connection>();
  readonly #bySocket = new WeakMap<Socket, Connection>();
  /** Until it can be spoken to, by where it comes from. */
  readonly #unready = new Map<string, Connection>();
  readonly #byClient = new Map<string, Set<Connection>>();
  #isWaiting = false;

  constructor(options: ConnectionSharesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** A new connection; false when there is no room for it, and the caller resets it. */
  admit(socket: Socket): boolean {
    const { clients, clock, maxConnections } = this.#options;
    const peer = socket.remoteAddress;
    const client = clients.of(peer, undefined) ?? '';
    const connection = { socket, peer, client, busy: 0, sinceMs: clock.monotonic(), writtenBefore: 0 };
    const place = placeOf(socket);
    this.#connections.add(connection);
    this.#bySocket.set(socket, connection);
    this.#unready.set(place, connection);
    this.#enter(connection);
    socket.once('close', () => {
      if (this.#unready.get(place) === connection) this.#unready.delete(place);
      this.#leave(connection);
    });
    if (maxConnections === undefined || this.#connections.size <= maxConnections) return true;
    if (this.#makeRoom(connection)) return true;
    this.#leave(connection);
    return false;
  }

  /** The socket of a connection that was admitted, or after its handshake the one of TLS, which stands for it from now on. */
  ready(socket: Socket): void {
    const place = placeOf(socket);
    const connection = this.#unready.get(place);
    if (connection === undefined) return;
    this.#unready.delete(place);
    connection.socket = socket;
    this.#bySocket.set(socket, connection);
  }

  /** A request has been read. */
  began(socket: Socket, forwardedFor: string | undefined): void {
    const connection = this.#bySocket.get(socket);
    if (connection === undefined) return;
    connection.busy++;
    this.#attribute(connection, forwardedFor);
  }

  /** Its answer is out, or will never be. */
  ended(socket: Socket): void {
    const connection = this.#bySocket.get(socket);
    if (connection === undefined) return;
    connection.busy = Math.max(0, connection.busy - 1);
    connection.sinceMs = this.#options.clock.monotonic();
  }

  /** A request was read and answered at once. */
  used(socket: Socket, nowMs: number, forwardedFor?: string): void {
    const connection = this.#bySocket.get(socket);
    if (connection === undefined) return;
    connection.sinceMs = nowMs;
    this.#attribute(connection, forwardedFor);
  }

  /** A proxy's connection belongs to whom it asked for last. */
  #attribute(connection: Connection, forwardedFor: string | undefined): void {
    const { clients } = this.#options;
    // One that has left belongs to nobody.
    if (!this.#connections.has(connection)) return;
    if (forwardedFor === undefined || !clients.isTrusted(connection.peer)) return;
    const client = clients.of(connection.peer, forwardedFor) ?? '';
    if (client === connection.client) return;
    this.#exit(connection);
    connection.client = client;
    this.#enter(connection);
  }

  #makeRoom(newcomer: Connection): boolean {
    const greediest = this.#greediest(newcomer.client);
    const idle = longestIdle(greediest, newcomer);
    if (idle !== undefined) {
      this.#close(idle);
      return true;
    }
    const own = this.#byClient.get(newcomer.client)?.size ?? 0;
    const { maxConnections = Infinity } = this.#options;
    if (greediest.size <= own || this.#connections.size > maxConnections + maxBeyond) return false;
    this.#wait();
    return true;
  }

  /** The address with most connections; of those with equally many, the one that wants another. */
  #greediest(wanting?: string): ReadonlySet<Connection> {
    let most: ReadonlySet<Connection> = (wanting === undefined ? undefined : this.#byClient.get(wanting)) ?? new Set();
    for (const connections of this.#byClient.values()) if (connections.size > most.size) most = connections;
    return most;
  }

  #wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    for (const connection of this.#connections) connection.writtenBefore = connection.socket.bytesWritten;
    this.#options.clock.setTimer(patienceMs, () => {
      this.#isWaiting = false;
      this.#reclaim();
    });
  }

  /** As many as are too many, one by one: each time the greediest address may be another one. */
  #reclaim(): void {
    const { maxConnections = Infinity } = this.#options;
    while (this.#connections.size > maxConnections) {
      const greediest = this.#greediest();
      const victim = longestIdle(greediest) ?? slowest(greediest);
      if (victim === undefined) return;
      this.#close(victim);
    }
  }

  #close(connection: Connection): void {
    this.#leave(connection);
    if (connection.busy === 0) connection.socket.destroy();
    else breakConnection(connection.socket);
  }

  #enter(connection: Connection): void {
    const connections = this.#byClient.get(connection.client) ?? new Set();
    connections.add(connection);
    this.#byClient.set(connection.client, connections);
  }

  #exit(connection: Connection): void {
    const connections = this.#byClient.get(connection.client);
    connections?.delete(connection);
    if (connections?.size === 0) this.#byClient.delete(connection.client);
  }

  #leave(connection: Connection): void {
    if (this.#connections.delete(connection)) this.#exit(connection);
  }
}

/** No two connections of one listener have the same. */
function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function longestIdle(connections: ReadonlySet<Connection>, except?: Connection): Connection | undefined {
  let longest: Connection | undefined;
  for (const connection of connections) {
    const isIdle = connection.busy === 0 && connection.socket.writableLength === 0 && connection !== except;
    if (isIdle && connection.sinceMs < (longest?.sinceMs ?? Infinity)) longest = connection;
  }
  return longest;
}

/** What its client took since the wait began; of those that took equally little, the one that came first. */
function slowest(connections: ReadonlySet<Connection>): Connection | undefined {
  let slow: Connection | undefined;
  let fewest = Infinity;
  for (const connection of connections) {
    const taken = connection.socket.bytesWritten - connection.writtenBefore;
    if (taken >= fewest) continue;
    slow = connection;
    fewest = taken;
  }
  return slow;
}
