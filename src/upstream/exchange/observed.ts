/** Reports each exchange, token requests included, and otherwise gets out of the way. */
import type { Clock } from '../../lib/clock.ts';
import type { Sender } from './sender.ts';
import type { UpstreamEvents } from '../contract/upstream.ts';

export function observed(
  sender: Sender,
  upstream: string,
  clock: Pick<Clock, 'monotonic'>,
  events: Pick<UpstreamEvents, 'upstreamRequest'>,
): Sender {
  return {
    async send(request, signal) {
      const startMs = clock.monotonic();
      const report = (status: number | 'error'): void =>
        events.upstreamRequest({ upstream, status, seconds: (clock.monotonic() - startMs) / 1000 });
      try {
        const response = await sender.send(request, signal);
        report(response.status);
        return response;
      } catch (error) {
        report('error');
        throw error;
      }
    },
    close: () => sender.close(),
  };
}
