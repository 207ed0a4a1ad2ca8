/**
 * One body moved into its ingest by a download worker, which writes only what it was granted: bytes for which there is room,
 * which are paid for, and which no other transfer will be asked to bring.
 */
import { abortReason } from '../../lib/abort.ts';
import { StoreError } from '../../store/contract/blob-store.ts';
import { storeError } from '../../store/files/errors.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import { fromWorkerFailure, type WorkerBody } from '../../upstream/contract/worker-protocol.ts';
import type { Moved } from './resume.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { Attempt } from '../attempt/attempt.ts';
import type { Grant, MoveCommand, MoveReply } from '../worker/messages.ts';
import type { Handle, Lost } from '../worker/thread.ts';
import type { Claim } from '../attempt/pieces.ts';
import type { WorkerFile } from '../attempt/worker-file.ts';
import type { Reservation } from '../space/reservation.ts';

/** Granted ahead of what is written: little at first, so that a claim can still be cut short; more when it goes fast. */
const firstWindowBytes = 1024 * 1024;
const maxWindowBytes = 16 * 1024 * 1024;

export interface MoveOptions {
  readonly attempt: Attempt;
  readonly claim: Claim;
  readonly reservation: Reservation;
  /** The upstream's key, for errors. */
  readonly upstream: string;
  readonly body: WorkerBody;
  /** Bytes of the body before the claim's position. */
  readonly skipBytes: number;
  readonly signal: AbortSignal;
}

interface RemoteMoveOptions extends MoveOptions {
  readonly file: WorkerFile;
}

/** Never rejects. When it resolves, the thread writes nothing of this claim any more. */
export async function moveByThread(options: MoveOptions): Promise<Moved> {
  const { body, attempt, upstream } = options;
  const file = attempt.remote;
  if (file !== undefined && file.thread === body.worker) return new WorkerDownload({ ...options, file }).run();
  // The thread has died since it was asked.
  body.abort();
  body.ended();
  return { bytes: 0, why: { error: new UpstreamError('cut', 'the thread that held the body has died', { upstream }) } };
}

class WorkerDownload {
  readonly #options: RemoteMoveOptions;
  readonly #start: number;
  readonly #ended = Promise.withResolvers<Moved['why']>();
  #handle: Handle<MoveCommand> | undefined;
  #written: number;
  #granted: number;
  #windowBytes = firstWindowBytes;
  #isGranting = false;
  #isOver = false;
  #grantedAtMs = -Infinity;
  /** The thread was told to stop, for this reason. */
  #stopped: Error | undefined;
  #hasRelieved = false;
  /** The thread knows where it ends. */
  #hasSaidLast = false;

  constructor(options: RemoteMoveOptions) {
    this.#options = options;
    this.#start = options.claim.position;
    this.#written = this.#start;
    this.#granted = this.#start;
  }

  async run(): Promise<Moved> {
    const { body, signal, file, attempt, claim } = this.#options;
    const either = AbortSignal.any([signal, body.wanted]);
    const onAbort = (): void => this.#stop(abortReason(either));
    either.addEventListener('abort', onAbort, { once: true });
    if (either.aborted) onAbort();
    void this.#grant();
    const why = await this.#ended.promise;
    either.removeEventListener('abort', onAbort);
    file.pendingBytes -= this.#granted - this.#written;
    attempt.pieces.uncommit(claim);
    body.ended();
    return { bytes: this.#written - this.#start, why };
  }

  /** Grants as long as less than half the window is open. Never rejects. */
  async #grant(): Promise<void> {
    const { claim, attempt } = this.#options;
    if (this.#isGranting) return;
    this.#isGranting = true;
    try {
      while (!this.#isOver && this.#stopped === undefined && this.#granted - this.#written < this.#windowBytes / 2) {
        // Once more when the claim was cut back to what is granted already: else the thread would wait for the rest.
        if (this.#hasSaidLast && attempt.pieces.isCommitted(claim)) break;
        const grant = await this.#next();
        if (this.#isOver || this.#stopped !== undefined) break;
        this.#post(grant);
      }
    } catch (error) {
      this.#stop(error instanceof Error ? error : new Error('nothing more is granted', { cause: error }));
    } finally {
      this.#isGranting = false;
    }
    // Nothing had begun that would say when it has ended.
    if (this.#stopped !== undefined && this.#handle === undefined) this.#abandon(this.#stopped);
  }

  async #next(): Promise<Grant> {
    const { claim, attempt, file, reservation, body, signal } = this.#options;
    const { pieces } = attempt;
    const wanted = Math.min(this.#windowBytes - (this.#granted - this.#written), body.stepBytes);
    const bytes = pieces.commit(claim, wanted);
    // Counted at once, because other moves into this ingest ask at the same time.
    file.pendingBytes += bytes;
    this.#granted += bytes;
    if (bytes > 0) {
      const left = pieces.sizeBytes === undefined ? Infinity : pieces.sizeBytes - pieces.writtenBytes;
      const covered = reservation.cover(attempt.ingest.allocatedBytes() + file.pendingBytes, left);
      if (!(covered === true || (await covered))) {
        throw new StoreError('full', 'the cache has no room for more of this blob');
      }
      reservation.allocated = attempt.ingest.allocatedBytes();
      await body.pay?.(bytes, signal);
    }
    return { to: this.#granted, isLast: pieces.isCommitted(claim) };
  }

  #post(grant: Grant): void {
    const { file, body, claim, skipBytes } = this.#options;
    this.#hasSaidLast = grant.isLast;
    if (this.#handle !== undefined) return this.#handle.tell({ kind: 'grant', grant });
    const { thread, path, id } = file;
    // It has died since; what the call was told by then ends this as well.
    if (thread === undefined) return this.#stop(this.#cut('the thread that held the body has died'));
    this.#handle = thread.move(body.call, (reply) => this.#heard(reply));
    const order = { path, file: id, position: claim.position, skipBytes, grant };
    return this.#handle.tell({ kind: 'move', order });
  }

  #heard(reply: MoveReply | Lost): void {
    switch (reply.kind) {
      case 'moved':
        return this.#moved(reply);
      case 'stuck':
        return void this.#unstick(reply.code);
      case 'stopped':
        this.#moved(reply);
        return this.#end(this.#whyOf(reply));
      case 'lost':
        return this.#end({ error: this.#stopped ?? this.#cut('the thread that moved it has died') });
    }
  }

  #moved({ to, hashed, received }: { to: number; hashed: number; received: number }): void {
    const { attempt, claim, file, body } = this.#options;
    body.received(received);
    file.hashed(hashed);
    const bytes = to - this.#written;
    if (bytes > 0) {
      file.moved(this.#written, to);
      this.#written = to;
      file.pendingBytes -= bytes;
      attempt.ingest.wrote(bytes);
      attempt.pieces.advance(claim, to);
    }
    attempt.moved();
    if (attempt.state === 'broken') this.#stop(attempt.failure ?? new BrokenBodyError('the attempt was given up'));
    if (this.#granted - this.#written >= this.#windowBytes / 2) return;
    this.#adjustWindow();
    void this.#grant();
  }

  /** About what comes in a tenth of a second. */
  #adjustWindow(): void {
    const nowMs = this.#options.attempt.clock.monotonic();
    const passedMs = nowMs - this.#grantedAtMs;
    this.#grantedAtMs = nowMs;
    const factor = passedMs < 100 ? 2 : passedMs > 400 ? 0.5 : 1;
    this.#windowBytes = Math.min(Math.max(factor * this.#windowBytes, firstWindowBytes), maxWindowBytes);
  }

  /** The disk takes no more: worth one eviction and one more try. */
  async #unstick(code: string): Promise<void> {
    const { reservation, attempt } = this.#options;
    const error = storeError(Object.assign(new Error(code), { code }), `writing ${attempt.digest}`);
    const mayTry = error.kind === 'full' && !this.#hasRelieved;
    this.#hasRelieved = true;
    if (mayTry && (await reservation.relieve().catch(() => false))) this.#handle?.tell({ kind: 'retry' });
    else this.#stop(error);
  }

  #whyOf(reply: Extract<MoveReply, { kind: 'stopped' }>): Moved['why'] {
    if (this.#stopped !== undefined) return { error: this.#stopped };
    if (reply.why !== 'failed') return reply.why;
    const { failure = { kind: 'cut', message: 'it broke' } } = reply;
    return { error: fromWorkerFailure(failure, this.#options.upstream) };
  }

  #cut(message: string): UpstreamError {
    return new UpstreamError('cut', message, { upstream: this.#options.upstream });
  }

  #end(why: Moved['why']): void {
    this.#isOver = true;
    this.#ended.resolve(why);
  }

  /** Idempotent; what ends the move is the thread's word that it has stopped. */
  #stop(reason: Error): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    this.#handle?.tell({ kind: 'stop' });
  }

  /** The body was never taken. */
  #abandon(reason: Error): void {
    this.#options.body.abort();
    this.#end({ error: reason });
  }
}
