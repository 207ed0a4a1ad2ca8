/** What the owner and its download workers say to each other. Only plain values: all of it is copied. */
import type { DigestAlgorithm } from '../../oci/digest.ts';
import type { FileIdentity } from '../../store/files/shared-between-threads.ts';
import type { WorkerCommand, WorkerFailure, WorkerReply } from '../../upstream/contract/worker-protocol.ts';

/** An ingest that the thread hashes. */
export interface FileOrder {
  readonly path: string;
  /** The file that is meant: by now another one may have its name. Undefined: none can. */
  readonly identity?: FileIdentity | undefined;
  readonly algorithm: DigestAlgorithm;
  /** Live fills are hashed before what is only proved again. */
  readonly isLive: boolean;
}

/** Bytes `[position, …)` of an ingest out of the body of a call. */
export interface MoveOrder {
  readonly path: string;
  /** The ingest, if this thread hashes it: it then sees the bytes in memory. */
  readonly file: number | undefined;
  readonly position: number;
  /** Bytes of the body that come before `position`. */
  readonly skipBytes: number;
  readonly grant: Grant;
}

/** Bytes before `to` may be written. After the last grant the move ends there. */
export interface Grant {
  readonly to: number;
  readonly isLast: boolean;
}

export type FileCommand =
  | { readonly kind: 'file'; readonly order: FileOrder }
  /** Somebody else wrote these bytes. */
  | { readonly kind: 'wrote'; readonly start: number; readonly end: number }
  | { readonly kind: 'digest' }
  | { readonly kind: 'forget' };

export type FileReply =
  | { readonly kind: 'hashed'; readonly position: number }
  | { readonly kind: 'digest'; readonly hex: string }
  | { readonly kind: 'unreadable'; readonly reason: string };

export type MoveCommand =
  /** Turns a call whose head has come into a move. */
  | { readonly kind: 'move'; readonly order: MoveOrder }
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'stop' }
  /** After `stuck`: there may be room now. */
  | { readonly kind: 'retry' };

export type MoveReply =
  /** Everything before `to` is in the file. `hashed`: how far the ingest's hash is, 0 when another thread has it. */
  | { readonly kind: 'moved'; readonly to: number; readonly hashed: number; readonly received: number }
  /** The disk does not take it. Nothing is written until `retry` or `stop`. */
  | { readonly kind: 'stuck'; readonly code: string }
  /** The last word: the write descriptor is closed. */
  | {
      readonly kind: 'stopped';
      readonly to: number;
      readonly hashed: number;
      readonly received: number;
      /** `granted`: all that was granted is there · `ended`: the body ended cleanly · `failed`: see `failure`. */
      readonly why: 'granted' | 'ended' | 'failed';
      readonly failure?: WorkerFailure;
    };

export type ToWorker =
  | { readonly about: 'call'; readonly id: number; readonly command: WorkerCommand }
  /** A move has the id of its call. */
  | { readonly about: 'move'; readonly id: number; readonly command: MoveCommand }
  | { readonly about: 'file'; readonly id: number; readonly command: FileCommand }
  /** Answered in kind: the thread is alive. */
  | { readonly about: 'ping' };

export type FromWorker =
  | { readonly about: 'call'; readonly id: number; readonly reply: WorkerReply }
  | { readonly about: 'move'; readonly id: number; readonly reply: MoveReply }
  | { readonly about: 'file'; readonly id: number; readonly reply: FileReply }
  | { readonly about: 'ping' };
