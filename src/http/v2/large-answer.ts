/** Sending what is too long to be held in memory: from the file that a view has, between two short texts. */
import type { BlobView } from '../../fill/contract/blob-view.ts';
import { BodyWriter } from '../body/body.ts';
import type { FrontDeps } from './context.ts';
import type { Exchange } from '../request/exchange.ts';
import { type HeaderList, sendHead, writeHead } from '../request/respond.ts';

/** What stands around the bytes of the view; ASCII. */
export interface Frame {
  readonly before: string;
  readonly after: string;
}

/** Sends status 200 and the whole body, and closes the view. Rejects with what `toErrorAnswer` understands. */
export async function sendView(
  deps: Pick<FrontDeps, 'body'>,
  exchange: Exchange,
  headers: HeaderList,
  view: BlobView,
  { before, after }: Frame = { before: '', after: '' },
): Promise<void> {
  using _view = { [Symbol.dispose]: () => view.close() };
  const end = view.sizeBytes ?? 0;
  const all = [...headers, 'Content-Length', String(before.length + end + after.length)];
  if (exchange.isHead) {
    sendHead(exchange, 200, all);
    return;
  }
  const reader = await view.open({ start: 0, end }, exchange.signal);
  using _reader = { [Symbol.dispose]: () => reader.close() };
  // A failure can be told as long as no head is out.
  await reader.readable(0, exchange.signal);
  // What lies in the store but cannot be read was asked for again.
  if (exchange.outcome !== undefined) exchange.outcome = view.outcome;
  if (!writeHead(exchange, 200, all)) return;
  const writer = new BodyWriter(exchange.res, deps.body);
  try {
    if (before !== '') writer.text(before);
    await writer.span(reader, { start: 0, end }, exchange.signal);
    if (after !== '') writer.text(after);
    writer.end();
  } catch (error) {
    writer.break();
    throw error;
  } finally {
    exchange.bytesSent = writer.bytesSent;
  }
}
