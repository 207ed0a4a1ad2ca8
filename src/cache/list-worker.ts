/** Thread entry: reads long lists (list-reader.ts). Keeps nothing between two. */
import { parentPort } from 'node:worker_threads';
import { type ListOrder, type ListReply, readList } from './list-orders.ts';

parentPort?.on('message', (order: ListOrder) => {
  const reply: ListReply = { id: order.id, list: readList(order) };
  parentPort?.postMessage(reply);
});
