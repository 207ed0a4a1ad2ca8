/** The body of a blob on its way to whoever fills from it: at the pace that is allowed, and with an end that is noticed. */
import { abortReason } from '../../lib/abort.ts';
import type { Bandwidth, Flow } from '../limits/bandwidth.ts';
import { failure } from '../contract/failure.ts';
import type { IncomingResponse } from '../exchange/sender.ts';
import type { WorkerBody } from '../contract/worker-protocol.ts';
import type { BlobBody } from '../contract/upstream.ts';

export interface TransferOptions {
  readonly upstream: string;
  /** Undefined: as fast as it comes. */
  readonly pace: { readonly bandwidth: Bandwidth; readonly flow: () => Flow } | undefined;
  /** The caller's; the body listens to it by itself. */
  readonly signal: AbortSignal;
  /** Aborts, and `signal` with it, when the connection is to be given to somebody else; its reason says so. */
  readonly wanted: AbortSignal;
  /** May be called more than once. */
  readonly onEnd: () => void;
}

export function transferOf(
  response: IncomingResponse,
  options: TransferOptions,
): Pick<BlobBody, 'chunks' | 'abort' | 'toWorker'> {
  const { pace, wanted, onEnd } = options;
  const control = new AbortController();
  const abort = (): void => {
    control.abort();
    response.abort();
    onEnd();
  };
  const chunks = pace === undefined ? response.body : paced(response.body, pace, options, control.signal);
  return { chunks: followedBy(chunks, wanted, onEnd), abort, ...toWorker(response, options) };
}

function toWorker({ move }: IncomingResponse, { pace, wanted, onEnd }: TransferOptions): Pick<BlobBody, 'toWorker'> {
  if (move === undefined) return {};
  const pay = pace && ((bytes: number, signal: AbortSignal) => pace.bandwidth.take(bytes, signal, pace.flow()));
  const stepBytes = pace?.bandwidth.stepBytes ?? Infinity;
  return { toWorker: (): WorkerBody => ({ ...move(), pay, stepBytes, wanted, ended: onEnd }) };
}

async function* followedBy(
  chunks: AsyncIterable<Uint8Array>,
  wanted: AbortSignal,
  onEnd: () => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw wanted.aborted ? abortReason(wanted) : error;
  } finally {
    onEnd();
  }
}

async function* paced(
  chunks: AsyncIterable<Uint8Array>,
  { bandwidth, flow }: NonNullable<TransferOptions['pace']>,
  { upstream, signal }: TransferOptions,
  own: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const either = AbortSignal.any([signal, own]);
  for await (const chunk of chunks) {
    await bandwidth.take(chunk.byteLength, either, flow()).catch((cause: unknown) => {
      throw failure('aborted', upstream, 'given up by the caller', cause);
    });
    yield chunk;
  }
}
