/**
 * The way for hits that fit in memory, past node:http. A request whose head is, byte for byte, one that was read and
 * answered before gets the same answer again while the answer's lease holds: no parsing, no routing, nothing allocated but
 * the text that is written.
 *
 * A connection starts here and stays as long as all it asks is of that kind. With the first request that is not, it goes
 * to node:http, unread bytes and all, for good.
 */
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { ChangeCounters } from '../../lib/change-counters.ts';
import { referenceText } from '../../oci/reference.ts';
import { parseV2Request } from '../../oci/v2-request.ts';
import { type Backlogs, memoryStallMs } from '../listener/backlogs.ts';
import { wholeHeaders } from '../v2/blobs.ts';
import type { ConnectionShares } from '../listener/connection-shares.ts';
import type { FrontDeps } from '../v2/context.ts';
import { nextRequestId } from '../request/exchange.ts';
import { manifestHeaders } from '../v2/manifests.ts';
import { breakConnection } from '../listener/pipelining.ts';
import { ReadyAnswer } from './ready-answer.ts';
import { maxSimpleHeadLength, parseSimpleHead, type SimpleHead } from './simple-head.ts';
import { blobPath } from '../v2/v2.ts';

export interface HotPathDeps extends Pick<FrontDeps, 'cache' | 'router' | 'clock' | 'events' | 'accessLog'> {
  readonly changes: ChangeCounters;
  readonly shares?: Pick<ConnectionShares, 'used'> | undefined;
  readonly backlogs: Backlogs;
  readonly keepAliveSeconds: number;
  /** Milliseconds that a new connection may stay silent. */
  readonly firstHeadMs: number;
  /** Milliseconds for which a client may take nothing of what it was answered. Default 30,000. */
  readonly stallMs?: number | undefined;
}

/** Heads and answers that are remembered. */
const maxWeight = 32 * 1024 * 1024;
/** Answers that wait for a client to take them; beyond this it is not read any further. */
const maxBacklogBytes = 256 * 1024;

export class HotPath {
  readonly #deps: HotPathDeps;
  readonly #ready = new LRUCache<string, ReadyAnswer>({
    maxSize: maxWeight,
    sizeCalculation: (answer, head) => answer.weight + head.length,
  });
  readonly #connections = new Set<HotConnection>();
  isDraining = false;

  constructor(deps: HotPathDeps) {
    this.#deps = deps;
  }

  /** Takes a new connection; `leave` hands it on. */
  take(socket: Socket, leave: () => void): void {
    if (this.isDraining) return void socket.destroy();
    const connection = new HotConnection(this, socket, leave, this.#deps);
    this.#connections.add(connection);
    return undefined;
  }

  left(connection: HotConnection): void {
    this.#connections.delete(connection);
  }

  /** The answer to a head that was answered before; undefined when it has to be asked for. */
  find(head: string, monotonicMs: number, wallMs: number): ReadyAnswer | undefined {
    const answer = this.#ready.get(head);
    return answer?.isCurrent(this.#deps.changes, monotonicMs, wallMs) === true ? answer : undefined;
  }

  /** Asks the cache. Undefined when this request is not for the hot path. Never rejects. */
  async learn(text: string): Promise<ReadyAnswer | undefined> {
    const head = parseSimpleHead(text);
    const answer = head === undefined ? undefined : await this.#prepare(head);
    if (answer === undefined) this.#ready.delete(text);
    else this.#ready.set(text, answer);
    return answer;
  }

  /** Closes what is idle, and whatever still comes. */
  drain(): void {
    this.isDraining = true;
    for (const connection of this.#connections) connection.close();
  }

  async #prepare(head: SimpleHead): Promise<ReadyAnswer | undefined> {
    const { router, cache, keepAliveSeconds, clock } = this.#deps;
    const request = parseV2Request(head.method, head.target, head.host);
    if (request.kind !== 'manifest' && request.kind !== 'blob') return undefined;
    const found = router.route({ ns: request.ns, host: head.host, name: request.name });
    if (found.kind === 'unknown') return undefined;
    const { upstream, repository, echoNamespace: namespace } = found;
    const method = head.method === 'GET' ? 'get' : 'head';
    const base = { ...head, upstream, repository, namespace, keepAliveSeconds, clock };
    if (request.kind === 'manifest') {
      const { reference } = request;
      const leased = await cache.peek({ kind: 'manifest', upstream, repository, reference, method });
      if (leased?.mediaType === undefined) return undefined;
      const headers = manifestHeaders({ digest: leased.digest, mediaType: leased.mediaType }, reference);
      return ReadyAnswer.of({ ...base, kind: 'manifest', reference: referenceText(reference), headers, leased });
    }
    const { digest } = request;
    const leased = await cache.peek({ kind: 'blob', upstream, repository, digest, method });
    if (leased === undefined) return undefined;
    const headers = wholeHeaders(leased, blobPath(request.name, digest, request.ns[0]));
    return ReadyAnswer.of({ ...base, kind: 'blob', reference: digest, headers, leased });
  }
}

class HotConnection {
  readonly #hotPath: HotPath;
  readonly #socket: Socket;
  readonly #leave: () => void;
  readonly #deps: HotPathDeps;
  #isAsking = false;
  /** Not all that was answered was taken at once. */
  #isBehind = false;
  readonly #onData = (chunk: Buffer): void => this.#read(chunk);
  readonly #onEnd = (): void => void this.#socket.destroy();
  readonly #onError = (): void => undefined;
  readonly #onClose = (): void => this.#hotPath.left(this);
  readonly #onTimeout = (): void => this.#timedOut();

  constructor(hotPath: HotPath, socket: Socket, leave: () => void, deps: HotPathDeps) {
    this.#hotPath = hotPath;
    this.#socket = socket;
    this.#leave = leave;
    this.#deps = deps;
    socket.setTimeout(deps.firstHeadMs);
    socket.on('timeout', this.#onTimeout);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.on('data', this.#onData);
  }

  /** Ends it, unless it is being answered: then it ends with that answer. */
  close(): void {
    if (!this.#isAsking) this.#socket.destroySoon();
  }

  #read(chunk: Buffer): void {
    const { clock } = this.#deps;
    const startedMs = clock.monotonic();
    const isShort = chunk.byteLength <= maxSimpleHeadLength;
    const text = isShort ? chunk.toString('latin1') : '';
    const answer = isShort ? this.#hotPath.find(text, startedMs, clock.now()) : undefined;
    if (answer !== undefined) this.#give(answer, startedMs);
    else if (text.endsWith('\r\n\r\n')) void this.#ask(text, chunk, startedMs);
    else this.#goOn(chunk);
  }

  /** Never rejects. */
  async #ask(text: string, chunk: Buffer, startedMs: number): Promise<void> {
    const socket = this.#socket;
    // What comes meanwhile waits in the socket, in its order.
    socket.pause();
    this.#isAsking = true;
    this.#deps.shares?.used(socket, startedMs);
    const answer = await this.#hotPath.learn(text);
    this.#isAsking = false;
    if (socket.destroyed) return;
    if (answer === undefined) {
      this.#goOn(chunk);
      return;
    }
    this.#give(answer, startedMs);
    if (this.#hotPath.isDraining) socket.destroySoon();
    else if (!this.#isFull()) socket.resume();
  }

  #give(answer: ReadyAnswer, startedMs: number): void {
    const { clock, events, accessLog, keepAliveSeconds, shares, backlogs, stallMs = memoryStallMs } = this.#deps;
    const socket = this.#socket;
    const id = nextRequestId();
    const wallMs = clock.now();
    socket.write(answer.text(id, wallMs), 'latin1');
    const seconds = (clock.monotonic() - startedMs) / 1000;
    shares?.used(socket, startedMs, answer.forwardedFor);
    events.requestEnded(answer.ended(seconds));
    accessLog?.(answer.line(id, seconds, wallMs));
    this.#isBehind = socket.writableLength > 0;
    const patienceMs = this.#isBehind ? stallMs : keepAliveSeconds * 1000;
    if (socket.timeout !== patienceMs) socket.setTimeout(patienceMs);
    if (!this.#isBehind) return;
    backlogs.add(socket);
    if (!this.#isFull()) return;
    socket.pause();
    socket.once('drain', () => socket.resume());
  }

  /** When there is too much for this client, or much for all together and some for it. */
  #isFull(): boolean {
    const { writableLength, writableNeedDrain } = this.#socket;
    return writableLength > maxBacklogBytes || (writableNeedDrain && this.#deps.backlogs.isTight);
  }

  /** Node looks whether the kernel has taken some of what is under way, and calls this when it has not. */
  #timedOut(): void {
    const socket = this.#socket;
    const { keepAliveSeconds, stallMs = memoryStallMs } = this.#deps;
    if (!this.#isBehind || socket.writableLength > 0) {
      breakConnection(socket);
      return;
    }
    // All was taken meanwhile: it is idle, and has the rest of the time for that.
    this.#isBehind = false;
    socket.setTimeout(Math.max(1, keepAliveSeconds * 1000 - stallMs));
  }

  /** To node:http, with the bytes that were read here in front of all that comes. */
  #goOn(chunk: Buffer): void {
    const socket = this.#socket;
    this.#hotPath.left(this);
    socket.pause();
    socket.setTimeout(0);
    socket.off('timeout', this.#onTimeout);
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('close', this.#onClose);
    socket.unshift(chunk);
    this.#leave();
    socket.off('error', this.#onError);
    socket.resume();
  }
}
