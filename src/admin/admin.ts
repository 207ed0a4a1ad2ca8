/**
 * The second listener: metrics and health, and later whatever changes weir. Health speaks of this process only: a cache
 * whose upstreams are down still serves what it has, and must not be restarted or taken out of service for it.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { Logger } from '../lib/log.ts';
import { errorBody, type OciErrorCode } from '../oci/errors.ts';
import type { RequestHandler } from '../http/listener/pipelining.ts';

export interface AdminDeps {
  /** The text of all metrics and its type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** True while requests are being accepted. */
  readonly isReady: () => boolean;
  /** Content of admin.tokenFile, trimmed. */
  readonly token: string | undefined;
  /** Whether only this machine can reach the listener. */
  readonly isLoopback: boolean;
  /** Names that lead here, in lower case; `localhost` and IP addresses do without being named. */
  readonly hosts: readonly string[];
  readonly logger: Logger;
}

/** Answered for anybody who reaches the listener: probes and scrapers carry no token. */
const openPaths: ReadonlySet<string> = new Set(['/metrics', '/healthz', '/readyz']);

/** A handler for a listener; it never throws. */
export function createAdmin(deps: AdminDeps): RequestHandler {
  const app = new Hono();
  app.use(async (c, next) => {
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('Cache-Control', 'no-store');
    const refusal =
      refuseHost(deps, c.req.header('host')) ??
      (openPaths.has(c.req.path) ? undefined : refuse(deps, c.req.header('authorization')));
    if (refusal === undefined) await next();
    else c.res = refusal;
  });
  // Hono answers HEAD with these too and drops the body unread, which is harmless for text.
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', (c) =>
    deps.isReady() ? c.json({ status: 'ready' }) : c.json({ status: 'starting or stopping' }, 503),
  );
  app.get('/metrics', async () => {
    const { contentType, body } = await deps.metrics();
    return new Response(body, { headers: { 'Content-Type': contentType } });
  });
  app.notFound((c) => reply(404, 'UNSUPPORTED', `no such endpoint: ${c.req.path}`));
  app.onError((error) => {
    deps.logger.error({ err: error }, 'admin request failed');
    return reply(500, 'UNKNOWN', 'internal error, see the log');
  });
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return (req, res) => {
    listener(req, res).catch((error: unknown) => {
      deps.logger.error({ err: error }, 'admin request failed');
      res.destroy();
    });
  };
}

/** The one place that decides who may do more than look at health and metrics. */
function refuse({ token, isLoopback }: AdminDeps, authorization: string | undefined): Response | undefined {
  if (token === undefined) {
    if (isLoopback) return undefined;
    return reply(403, 'DENIED', 'this needs admin.tokenFile, because the admin listener is not on a loopback address');
  }
  const [, given] = /^Bearer ([^ ]+)$/i.exec(authorization ?? '') ?? [];
  if (given !== undefined && isSame(given, token)) return undefined;
  return reply(401, 'UNAUTHORIZED', 'the admin token is needed', { 'WWW-Authenticate': 'Bearer realm="weir admin"' });
}

/**
 * A web page can make its own name lead to any address, and then reads what a browser on this machine may read (DNS
 * rebinding). It cannot do that with an address: probes of pods and scrapers that use those are answered as they are.
 */
function refuseHost({ hosts }: AdminDeps, host: string | undefined): Response | undefined {
  const name = (host ?? '')
    .toLowerCase()
    .replace(/:[0-9]*$/, '')
    .replace(/\.$/, '');
  const isAddress = isIP(name.replace(/^\[([^\]]*)\]$/, '$1')) !== 0;
  // Browsers always send one.
  if (name === '' || isAddress || name === 'localhost' || name.endsWith('.localhost') || hosts.includes(name))
    return undefined;
  return reply(
    421,
    'DENIED',
    'the admin listener does not answer to this Host: use an IP address, or name it in admin.hosts',
  );
}

/** In a time that says nothing about the token, its length included. */
function isSame(given: string, token: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(given), hash(token));
}

function reply(
  status: number,
  code: OciErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(errorBody(code, message), {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
  });
}
