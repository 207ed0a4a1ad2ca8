/** The proxy as a process: it says its port, obeys, and ends with whoever started it. */
import { DelayProxy } from './proxy.ts';

const [targetPort, roundTripMs] = process.argv.slice(2).map(Number);
if (targetPort === undefined || roundTripMs === undefined) throw new Error('usage: proxy-main PORT ROUND-TRIP-MS');
const proxy = await DelayProxy.start({ targetPort, roundTripMs });
process.on('message', (message: { readonly cutAfter: number }) => proxy.cutAfter(message.cutAfter));
process.once('disconnect', () => process.exit(0));
// The terminal's interrupt reaches the whole group; the end comes by the channel, in order.
process.on('SIGINT', () => undefined);
process.send?.({ port: proxy.port });
