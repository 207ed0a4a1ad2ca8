/**
 * Thread entry: carries exchanges with upstreams, writes their bodies into spool files, and hashes those. It decides
 * nothing: where to connect to, which bytes go where and what becomes of an answer is told by the owner.
 */
import { parentPort } from 'node:worker_threads';
import { systemClock } from '../../lib/clock.ts';
import { LineEnd } from '../../upstream/worker/server.ts';
import type { MoveCommand, MoverCommand, MoverReply, SpoolCommand } from './messages.ts';
import { HashTurns, ThreadHash } from './hash.ts';
import { BufferStack, ThreadMove } from './write.ts';

const spools = new Map<number, ThreadHash>();
const moves = new Map<number, ThreadMove>();
const turns = new HashTurns();
const buffers = new BufferStack();
const line = new LineEnd(systemClock, (id, reply) => tell({ about: 'call', id, reply }));

function tell(reply: MoverReply): void {
  parentPort?.postMessage(reply);
}

function obeySpool(id: number, command: SpoolCommand): void {
  const spool = spools.get(id);
  switch (command.kind) {
    case 'spool':
      spools.set(id, new ThreadHash(command.order, turns, (reply) => tell({ about: 'spool', id, reply })));
      return;
    case 'wrote':
      return spool?.wrote(command.start, command.end);
    case 'digest':
      return spool?.digest();
    case 'forget':
      spool?.close();
      spools.delete(id);
  }
}

function obeyMove(id: number, command: MoveCommand): void {
  if (command.kind !== 'move') return moves.get(id)?.obey(command);
  const exchange = line.take(id);
  const { spool } = command.order;
  if (exchange === undefined) {
    const failure = { kind: 'cut', message: 'the body was gone before it could be moved' } as const;
    const to = command.order.position;
    tell({ about: 'move', id, reply: { kind: 'stopped', to, hashed: 0, received: 0, why: 'failed', failure } });
    return undefined;
  }
  const hash = spool === undefined ? undefined : spools.get(spool);
  const move = new ThreadMove(command.order, exchange, hash, buffers, (reply) => {
    if (reply.kind === 'stopped') moves.delete(id);
    tell({ about: 'move', id, reply });
  });
  moves.set(id, move);
  return exchange.pipe(move);
}

parentPort?.on('message', (message: MoverCommand) => {
  switch (message.about) {
    case 'call':
      return line.obey(message.id, message.command);
    case 'move':
      return obeyMove(message.id, message.command);
    case 'spool':
      return obeySpool(message.id, message.command);
    case 'ping':
      return tell(message);
  }
});
