import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually, Gate } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { never } from '../support/clients.ts';
import { LocalLine } from '../support/local-line.ts';
import { lineSenderFor } from '../support/senders.ts';
import { serve, serveRaw } from '../support/servers.ts';

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

const headTimeoutMs = 8000;
const request = (url: URL) =>
  ({ method: 'GET', url: new URL('/blob', url), headers: {}, credentialSet: 'anonymous', headTimeoutMs }) as const;

/** Turns of the loop, in which what is said between threads arrives. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a thread that is alive and has no turn', () => {
  it('costs no exchange that it has not begun: another thread carries it', async () => {
    await using server = await serve((_, response) => response.end('hello'));
    const worker = new LocalLine();
    const clock = new FakeClock();
    await using sender = lineSenderFor(server.url, { clock }, worker);
    worker.sleep();
    const answer = sender.send(request(server.url), never);
    await clock.advance(1999);
    expect(server.seen).toHaveLength(0);
    await clock.advance(1);
    const response = await answer;
    expect([response.status, response.move]).toEqual([200, undefined]);
    await response.discard();
    worker.wake();
    await turns();
    expect(server.seen).toHaveLength(1);
  });

  it('is asked before an upstream is said to be late, and what had come to it counts', async () => {
    const gate = new Gate('head');
    await using server = await serve((_, response) => void gate.pass().then(() => response.end('hello')));
    const worker = new LocalLine();
    const clock = new FakeClock();
    await using sender = lineSenderFor(server.url, { clock }, worker);
    const answer = sender.send(request(server.url), never);
    await gate.arrived();
    worker.sleep();
    gate.open();
    await eventually(() => worker.unsaid === 1);
    await clock.advance(headTimeoutMs);
    worker.wake();
    const response = await answer;
    expect(response.status).toBe(200);
    await response.discard();
  });

  it('does not hide an upstream that is late', async () => {
    await using server = await serveRaw(() => undefined);
    const url = new URL(`http://127.0.0.1:${server.port}`);
    const clock = new FakeClock();
    await using sender = lineSenderFor(url, { clock });
    const answer = sender.send(request(url), never).catch((error: unknown) => error);
    await turns();
    await clock.advance(headTimeoutMs);
    expect(await answer).toMatchObject({ kind: 'timeout' });
  });
});
