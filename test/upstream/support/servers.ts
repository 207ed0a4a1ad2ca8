/** Small servers for tests of the transport: one on node:http, one that writes whatever bytes the test wants. */
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps, type ServerOptions } from 'node:https';
import { type AddressInfo, createServer as createTcp, type Server as TcpServer, type Socket } from 'node:net';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

export interface TestServer extends AsyncDisposable {
  readonly url: URL;
  readonly port: number;
  /** Every request so far. */
  readonly seen: Seen[];
  /** TCP connections so far. */
  connections: number;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export async function serve(handler: Handler, host = '127.0.0.1'): Promise<TestServer> {
  const seen: Seen[] = [];
  const server = createHttp((request, response) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    handler(request, response);
  });
  return listening(server, 'http', host, seen);
}

export async function serveTls(options: ServerOptions, handler: Handler, host = '127.0.0.1'): Promise<TestServer> {
  const seen: Seen[] = [];
  const server = createHttps(options, (request, response) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    handler(request, response);
  });
  return listening(server, 'https', host, seen);
}

/** Calls `script` for each request head, with its number over all connections, from 0. */
export async function serveRaw(script: (socket: Socket, index: number, head: string) => void): Promise<TestServer> {
  const seen: Seen[] = [];
  const server = createTcp((socket) => {
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        const [method = '', url = ''] = head.split(' ');
        seen.push({ method, url, headers: {} });
        script(socket, seen.length - 1, head);
      }
    });
  });
  return listening(server, 'http', '127.0.0.1', seen);
}

async function listening(server: Server | TcpServer, scheme: string, host: string, seen: Seen[]): Promise<TestServer> {
  const sockets = new Set<Socket>();
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const result: TestServer = {
    url: new URL(`${scheme}://${host}:${port}`),
    port,
    seen,
    connections: 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on('connection', (socket: Socket) => {
    result.connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  return result;
}
