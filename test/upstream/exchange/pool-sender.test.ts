import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { Gate, eventually, within } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { bytesOf, fetchWith, get, lineSenderFor, senderFor as poolSenderFor } from '../support/senders.ts';
import { serve, serveRaw, type TestServer } from '../support/servers.ts';

const never = new AbortController().signal;
const ok = (body: string, ...headers: string[]): string =>
  ['HTTP/1.1 200 OK', `Content-Length: ${Buffer.byteLength(body)}`, ...headers, '', body].join('\r\n');

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

async function failureOf(promise: Promise<unknown>): Promise<UpstreamError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UpstreamError)) throw new Error('expected an UpstreamError', { cause: error });
  return error;
}

/** What comes of a raw answer: the error's kind, or the body. */
async function outcomeOf(
  senderFor: typeof lineSenderFor,
  answer: string,
  end: 'keep' | 'fin' | 'rst' = 'keep',
): Promise<string> {
  await using server = await serveRaw((socket) => {
    socket.write(answer, 'latin1', () => {
      if (end === 'fin') socket.end();
      if (end === 'rst') setImmediate(() => socket.resetAndDestroy());
    });
  });
  await using sender = senderFor(server.url);
  return await fetchWith(sender, get('/', server.url, { headTimeoutMs: 5000 })).then(
    ({ status, body }) => `${status} ${body.toString('latin1')}`,
    (error: UpstreamError) => error.kind,
  );
}

/** Over a line, all that is said here holds as well; HEAD takes the other way, so it has a connection of its own. */
const senders = [
  { name: 'pool', senderFor: poolSenderFor, headConnections: 0 },
  { name: 'line', senderFor: lineSenderFor, headConnections: 1 },
] as const;

describe.each(senders)('$name sender', ({ senderFor, headConnections }) => {
  it('sends what it is given and hands out status, headers and body', async () => {
    await using server = await serve((_, response) => {
      response.writeHead(418, { 'x-twice': ['a', 'b'] }).end('tea');
    });
    await using sender = senderFor(server.url);
    const request = get('/pot?x=1', server.url, { headers: { accept: 'a/b' } });
    const response = await sender.send(request, never);
    expect(response).toMatchObject({ status: 418, headers: { 'x-twice': ['a', 'b'] } });
    expect(String(await bytesOf(response))).toBe('tea');
    expect(server.seen).toMatchObject([{ method: 'GET', url: '/pot?x=1', headers: { accept: 'a/b' } }]);
    expect(server.seen[0]?.headers).not.toHaveProperty('accept-encoding');
    expect(server.seen[0]?.headers).not.toHaveProperty('user-agent');
  });

  it('posts a body', async () => {
    const bodies: string[] = [];
    await using server = await serve((request, response) => {
      request.on('data', (chunk: Buffer) => bodies.push(String(chunk)));
      request.on('end', () => response.end());
    });
    await using sender = senderFor(server.url);
    await fetchWith(sender, get('/token', server.url, { method: 'POST', body: 'grant_type=password' }));
    expect(bodies).toEqual(['grant_type=password']);
  });

  it('chunks stay as they were after later ones have come', async () => {
    const parts = Array.from({ length: 40 }, (_, i) => Buffer.alloc(70_000, i));
    await using server = await serve((_, response) => response.end(Buffer.concat(parts)));
    await using sender = senderFor(server.url);
    const response = await sender.send(get('/', server.url), never);
    const kept: Uint8Array[] = [];
    for await (const chunk of response.body) kept.push(chunk);
    expect(Buffer.concat(kept).equals(Buffer.concat(parts))).toBe(true);
  });

  describe('connections', () => {
    it('are used again after a body that ended cleanly, also after HEAD and a discarded error', async () => {
      await using server = await serve((request, response) => {
        if (request.method === 'HEAD') response.setHeader('Connection', 'keep-alive');
        response.writeHead(request.url === '/404' ? 404 : 200, { 'Content-Length': 2 }).end('ok');
      });
      await using sender = senderFor(server.url);
      await fetchWith(sender, get('/', server.url));
      await (await sender.send(get('/404', server.url), never)).discard();
      await sender.send(get('/', server.url, { method: 'HEAD' }), never);
      await fetchWith(sender, get('/', server.url));
      expect(server.seen).toHaveLength(4);
      expect(server.connections).toBe(1 + headConnections);
    });

    it('are not used again after a HEAD that was refused: some send a body then', async () => {
      await using server = await serve((_, response) => {
        response.writeHead(404, { Connection: 'keep-alive', 'Content-Length': 2 }).end('no');
      });
      await using sender = senderFor(server.url);
      for (let i = 0; i < 2; i++) await sender.send(get('/', server.url, { method: 'HEAD' }), never);
      expect(server.connections).toBe(2);
    });

    it('are never shared between credential sets', async () => {
      await using server = await serve((_, response) => response.end('ok'));
      await using sender = senderFor(server.url);
      for (const credentialSet of ['anonymous', 'a', 'b', 'a']) {
        await fetchWith(sender, get('/', server.url, { credentialSet }));
      }
      expect(server.connections).toBe(3);
    });

    it.each(['left early', 'aborted', 'never read'])('are destroyed when the body is %s', async (how) => {
      const closed = new Gate();
      await using server = await serve((_, response) => {
        response.on('close', () => void closed.pass());
        response.writeHead(200, { 'Content-Length': 100_000_000 }).write(Buffer.alloc(1_000_000));
      });
      await using sender = senderFor(server.url);
      const response = await sender.send(get('/', server.url), never);
      if (how === 'left early') for await (const _ of response.body) break;
      if (how === 'aborted') response.abort();
      if (how === 'never read') await response.discard();
      await closed.arrived();
    });

    it('that the server closed while they lay idle cost one more attempt, not an error', async () => {
      await using server = await serveRaw((socket, index) => {
        // The second request on the first connection meets a server that has just given it up.
        if (index === 1) socket.resetAndDestroy();
        else socket.write(ok('fine'));
      });
      await using sender = senderFor(server.url);
      await fetchWith(sender, get('/', server.url));
      expect(await fetchWith(sender, get('/', server.url))).toMatchObject({ status: 200 });
      expect(server.seen).toHaveLength(3);
    });

    it('that may be stale are not used for POST, which must not be sent twice', async () => {
      await using server = await serveRaw((socket, index) => {
        if (index === 0) socket.write(ok('fine'));
        else socket.destroy();
      });
      await using sender = senderFor(server.url);
      await fetchWith(sender, get('/', server.url));
      const post = get('/token', server.url, { method: 'POST', body: '' });
      expect((await failureOf(fetchWith(sender, post))).kind).toBe('unreachable');
      expect(server.seen.map(({ method }) => method)).toEqual(['GET', 'POST']);
      expect(server.connections).toBe(2);
    });

    it('on which a server sends a body after HEAD do not spoil the next exchange', async () => {
      await using server = await serveRaw((socket, index, head) => {
        socket.write(ok(`answer ${index}`, 'Connection: keep-alive'));
        expect(head.startsWith('HEAD')).toBe(index === 0);
      });
      await using sender = senderFor(server.url);
      await sender.send(get('/', server.url, { method: 'HEAD' }), never);
      expect(String((await fetchWith(sender, get('/', server.url))).body)).toMatch(/^answer [12]$/);
    });

    it('that a server closes without an answer fail when they are new, after one attempt', async () => {
      await using server = await serveRaw((socket) => socket.destroy());
      await using sender = senderFor(server.url);
      expect((await failureOf(fetchWith(sender, get('/', server.url)))).kind).toBe('unreachable');
      expect(server.seen).toHaveLength(1);
    });

    it('do not deliver an answer that came before its question', async () => {
      await using server = await serveRaw((socket, index) => {
        socket.write(ok(`answer ${index}`) + (index === 0 ? ok('planted') : ''));
      });
      await using sender = senderFor(server.url);
      const first = await fetchWith(sender, get('/', server.url)).catch((error: UpstreamError) => error.kind);
      expect(first).toBe('badResponse');
      expect(String((await fetchWith(sender, get('/', server.url))).body)).toBe('answer 1');
    });
  });

  describe('bodies that are not what their head says', () => {
    it.each([
      ['a body of the declared length', ok('hello'), 'keep', '200 hello'],
      [
        'a chunked body',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        'keep',
        '200 abc',
      ],
      ['a body that ends with the connection', 'HTTP/1.0 200 OK\r\n\r\nabc', 'fin', '200 abc'],
      ['a short body and FIN', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', 'fin', 'cut'],
      ['a short body and RST', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', 'rst', 'cut'],
      ['an empty body and FIN', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', 'fin', 'cut'],
      ['a body without length and RST', 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc', 'rst', 'cut'],
      ['chunks without an end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'fin', 'cut'],
      ['a bad chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n', 'keep', 'cut'],
      ['a longer body', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef', 'keep', 'badResponse'],
      ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n', 'keep', 'badResponse'],
      ['a signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc', 'keep', 'badResponse'],
      ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc', 'keep', 'badResponse'],
      ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc', 'keep', 'badResponse'],
      ['a length of 2^53', 'HTTP/1.1 200 OK\r\nContent-Length: 9007199254740992\r\n\r\n', 'keep', 'badResponse'],
      ['a length of 2^64', 'HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n', 'keep', 'badResponse'],
      [
        'length and chunks',
        'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        'keep',
        'badResponse',
      ],
      [
        'gzip as transfer coding',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
        'keep',
        'badResponse',
      ],
    ] as const)('%s', async (_, answer, end, expected) => {
      expect(await outcomeOf(senderFor, answer, end)).toBe(expected);
    });
  });

  describe('heads that are no answer', () => {
    it.each([
      ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
      ['a bare line feed in a header', 'HTTP/1.1 200 OK\nX: y\n\nabc'],
      ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc'],
      ['a folded header', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
      ['100 Continue', 'HTTP/1.1 100 Continue\r\n\r\n' + ok('x')],
      ['101 Switching Protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
      ['a header of 70 KiB', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}\r\nContent-Length: 0\r\n\r\n`],
    ])('%s', async (_, answer) => {
      expect(await outcomeOf(senderFor, answer)).toBe('badResponse');
    });

    it('early hints are passed over, but not for ever', async () => {
      expect(await outcomeOf(senderFor, 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(50) + ok('x'))).toBe(
        '200 x',
      );
      await using server = await serveRaw((socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 5);
        socket.on('close', () => clearInterval(timer));
      });
      await using sender = senderFor(server.url);
      const error = await failureOf(fetchWith(sender, get('/', server.url, { headTimeoutMs: 150 })));
      expect(error.kind).toBe('timeout');
    });

    it('an answer that does not come is a timeout that names the place without its query', async () => {
      await using server = await serveRaw(() => undefined);
      await using sender = senderFor(server.url);
      const request = get('/blob?signature=geheim', server.url, { headTimeoutMs: 50 });
      const error = await failureOf(fetchWith(sender, request));
      expect(error).toMatchObject({ kind: 'timeout', upstream: 'test' });
      expect(error.message).toContain('/blob');
      expect(error.message).not.toContain('geheim');
    });
  });

  describe('places that cannot be reached', () => {
    it('a refused connection is unreachable and says so', async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      await new Promise((resolve) => server.close(resolve));
      const url = new URL(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`);
      await using sender = senderFor(url);
      const error = await failureOf(fetchWith(sender, get('/', url)));
      expect(error.kind).toBe('unreachable');
      expect(error.message).toContain('ECONNREFUSED');
      expect(error.cause).toBeInstanceOf(Error);
    });

    it('a name that does not exist is unreachable and says so', async () => {
      const url = new URL('http://nowhere.invalid');
      await using sender = senderFor(url);
      const error = await failureOf(fetchWith(sender, get('/', url)));
      expect(error.kind).toBe('unreachable');
      expect(error.message).toMatch(/ENOTFOUND|EAI_AGAIN/);
    });

    it('a connection that does not come up is a timeout of its own', async () => {
      // Linux answers no more handshakes once the accept queue is full; a look-up that hangs is the same to us.
      const url = new URL('http://slow.example');
      await using sender = senderFor(url, {
        connectTimeoutMs: 60,
        policy: { lookup: (() => undefined) as never },
      });
      const error = await failureOf(fetchWith(sender, get('/', url)));
      expect(error).toMatchObject({ kind: 'timeout' });
      expect(error.message).toContain('connecting');
    });
  });

  describe('the signal', () => {
    it('ends a wait for the head', async () => {
      const asked = new Gate();
      await using server = await serveRaw(() => void asked.pass());
      await using sender = senderFor(server.url);
      const control = new AbortController();
      const answer = failureOf(sender.send(get('/', server.url), control.signal));
      await asked.arrived();
      control.abort();
      expect((await answer).kind).toBe('aborted');
    });

    it('ends a body', async () => {
      await using server: TestServer = await serve((_, response) => {
        response.writeHead(200, { 'Content-Length': 1000 }).write('x');
      });
      await using sender = senderFor(server.url);
      const control = new AbortController();
      const response = await sender.send(get('/', server.url), control.signal);
      const reading = failureOf(
        (async () => {
          for await (const _ of response.body) control.abort();
        })(),
      );
      expect((await within(5000, reading, () => 'the body to end')).kind).toBe('aborted');
    });

    it('that has aborted already opens no connection', async () => {
      await using server = await serveRaw(() => undefined);
      await using sender = senderFor(server.url);
      expect((await failureOf(sender.send(get('/', server.url), AbortSignal.abort()))).kind).toBe('aborted');
      expect(server.connections).toBe(0);
    });
  });

  it('close ends exchanges in progress', async () => {
    const asked = new Gate();
    await using server = await serveRaw(() => void asked.pass());
    const sender = senderFor(server.url);
    const answer = failureOf(sender.send(get('/', server.url), never));
    await asked.arrived();
    await sender.close();
    expect(await answer).toBeInstanceOf(UpstreamError);
    expect((await failureOf(sender.send(get('/', server.url), never))).kind).toBe('aborted');
  });

  it('discards nothing that is long, and a short body that stalls for a second at most', async () => {
    await using server = await serve((_, response) => {
      response.writeHead(500, { 'Content-Length': 10 }).write('x');
    });
    await using sender = senderFor(server.url);
    const response = await sender.send(get('/', server.url), never);
    await within(10_000, response.discard(), () => 'discard to give up');
    await eventually(() => server.connections === 1);
  });
});
