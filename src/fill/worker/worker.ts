/**
 * Thread entry: carries exchanges with upstreams, writes their bodies into part files, and hashes those. It decides
 * nothing: where to connect to, which bytes go where and what becomes of an answer is told by the owner.
 */
import { parentPort } from 'node:worker_threads';
import { systemClock } from '../../lib/clock.ts';
import { WorkerServer } from '../../upstream/worker/server.ts';
import type { MoveCommand, ToWorker, FromWorker, FileCommand } from './messages.ts';
import { HashTurns, ThreadHash } from './hash.ts';
import { BufferStack, ThreadMove } from './write.ts';

const files = new Map<number, ThreadHash>();
const moves = new Map<number, ThreadMove>();
const turns = new HashTurns();
const buffers = new BufferStack();
const worker = new WorkerServer(systemClock, (id, reply) => tell({ about: 'call', id, reply }));

function tell(reply: FromWorker): void {
  parentPort?.postMessage(reply);
}

function obeyFile(id: number, command: FileCommand): void {
  const file = files.get(id);
  switch (command.kind) {
    case 'file':
      files.set(id, new ThreadHash(command.order, turns, (reply) => tell({ about: 'file', id, reply })));
      return;
    case 'wrote':
      return file?.wrote(command.start, command.end);
    case 'digest':
      return file?.digest();
    case 'forget':
      file?.close();
      files.delete(id);
  }
}

function obeyMove(id: number, command: MoveCommand): void {
  if (command.kind !== 'move') return moves.get(id)?.obey(command);
  const exchange = worker.take(id);
  const { file } = command.order;
  if (exchange === undefined) {
    const failure = { kind: 'cut', message: 'the body was gone before it could be moved' } as const;
    const to = command.order.position;
    tell({ about: 'move', id, reply: { kind: 'stopped', to, hashed: 0, received: 0, why: 'failed', failure } });
    return undefined;
  }
  const hash = file === undefined ? undefined : files.get(file);
  const move = new ThreadMove(command.order, exchange, hash, buffers, (reply) => {
    if (reply.kind === 'stopped') moves.delete(id);
    tell({ about: 'move', id, reply });
  });
  moves.set(id, move);
  return exchange.pipe(move);
}

parentPort?.on('message', (message: ToWorker) => {
  switch (message.about) {
    case 'call':
      return worker.obey(message.id, message.command);
    case 'move':
      return obeyMove(message.id, message.command);
    case 'file':
      return obeyFile(message.id, message.command);
    case 'ping':
      return tell(message);
  }
});
