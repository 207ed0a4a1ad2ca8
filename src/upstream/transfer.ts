/** The body of a blob on its way to whoever fills from it: at the pace that is allowed, and with an end that is noticed. */
import type { Bandwidth } from './bandwidth.ts';
import { failure } from './failure.ts';
import type { IncomingResponse } from './sender.ts';
import type { LineBody } from './line.ts';
import type { BlobBody } from './upstream.ts';

export interface TransferOptions {
  readonly upstream: string;
  readonly bandwidth: Bandwidth | undefined;
  /** The caller's; the body listens to it by itself. */
  readonly signal: AbortSignal;
  /** May be called more than once. */
  readonly onEnd: () => void;
}

export function transferOf(
  response: IncomingResponse,
  options: TransferOptions,
): Pick<BlobBody, 'chunks' | 'abort' | 'toLine'> {
  const { bandwidth, onEnd } = options;
  const control = new AbortController();
  const abort = (): void => {
    control.abort();
    response.abort();
    onEnd();
  };
  const chunks = bandwidth === undefined ? response.body : paced(response.body, bandwidth, options, control.signal);
  return { chunks: followedBy(chunks, onEnd), abort, ...toLine(response, options) };
}

function toLine({ move }: IncomingResponse, { bandwidth, onEnd }: TransferOptions): Pick<BlobBody, 'toLine'> {
  if (move === undefined) return {};
  const pay = bandwidth && ((bytes: number, signal: AbortSignal): Promise<void> => bandwidth.take(bytes, signal));
  const stepBytes = bandwidth?.stepBytes ?? Infinity;
  return { toLine: (): LineBody => ({ ...move(), pay, stepBytes, ended: onEnd }) };
}

async function* followedBy(chunks: AsyncIterable<Uint8Array>, onEnd: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } finally {
    onEnd();
  }
}

async function* paced(
  chunks: AsyncIterable<Uint8Array>,
  bandwidth: Bandwidth,
  { upstream, signal }: TransferOptions,
  own: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const either = AbortSignal.any([signal, own]);
  for await (const chunk of chunks) {
    await bandwidth.take(chunk.byteLength, either).catch((cause: unknown) => {
      throw failure('aborted', upstream, 'given up by the caller', cause);
    });
    yield chunk;
  }
}
