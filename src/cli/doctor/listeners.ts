/** The two listeners: is the port free or weir's own, and who may reach what there. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { errorCode } from '../../lib/system-error.ts';
import { formatListen, isLoopback } from '../../config/schema/addresses.ts';
import type { Config, ListenAddress } from '../../config/values/config.ts';
import { readText } from '../../config/read/files.ts';
import { silentLogger } from '../../lib/log.ts';
import { createProbes } from '../../upstream/try-endpoint.ts';
import { endsSoon, type Finding, Findings } from './finding.ts';
import type { Machine } from '../frame/machine.ts';

const askTimeoutMs = 5_000;

export async function checkListen(config: Config, machine: Machine): Promise<readonly Finding[]> {
  const found = new Findings('listen');
  const { listen, tls, upstreams } = config;
  if (tls !== undefined) checkCertificate(tls, machine, found);
  await checkPort(listen, tls !== undefined, machine, found);
  const open = upstreams.filter(({ access }) => access === 'all').map(({ key }) => key);
  if (!isLoopback(listen) && open.length > 0) {
    found.warn(
      'access',
      `other machines reach ${formatListen(listen)} and may read all that the credential can: ${open.join(', ')}`,
      'use access: public there, or make sure that only the right machines reach it (docs/security.md)',
    );
  } else found.ok('access', isLoopback(listen) ? 'this machine alone can pull' : 'other machines can pull');
  return found.list;
}

export async function checkAdmin({ admin }: Config, machine: Machine): Promise<readonly Finding[]> {
  const found = new Findings('admin.listen');
  await checkPort(admin.listen, false, machine, found);
  if (isLoopback(admin.listen)) found.ok('access', 'this machine alone can see metrics and health');
  else if (admin.tokenFile === undefined) {
    found.warn(
      'access',
      `other machines can see /metrics, /healthz and /readyz at ${formatListen(admin.listen)}, and nothing else works`,
      'let it listen on 127.0.0.1, or set admin.tokenFile',
    );
  } else found.ok('access', 'other machines can see metrics and health; the rest needs the token');
  return found.list;
}

async function checkPort(address: ListenAddress, isTls: boolean, machine: Machine, found: Findings): Promise<void> {
  const name = formatListen(address);
  const problem = await problemOfListening(address);
  switch (problem) {
    case undefined:
      found.ok('port', `${name} is free`);
      return;
    case 'EADDRINUSE':
      if (await isWeir(address, isTls, machine)) found.ok('port', `a running weir holds ${name}`);
      else
        found.fail(
          'port',
          `another program holds ${name}`,
          `find it with: ss -ltnp 'sport = :${address.port}', and stop it, or choose another port`,
        );
      return;
    case 'EACCES':
    case 'EPERM':
      found.fail('port', `this user may not listen on ${name}`, 'choose a port of 1024 or more, or let root do it');
      return;
    default:
      found.fail(
        'port',
        `nobody can listen on ${name}: ${problem}`,
        'name an address of this machine, or 0.0.0.0 for all',
      );
  }
}

/** The system's code; undefined when all is well. */
async function problemOfListening({ host, port }: ListenAddress): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return errorCode(error) ?? String(error);
  } finally {
    if (server.listening) {
      server.close();
      await once(server, 'close');
    }
  }
}

/** A name that only weir would answer so, and by itself: it has a port. `.invalid` belongs to nobody (RFC 2606). */
const strangePath = '/v2/weir.invalid:1/doctor/manifests/latest';
const strangeAnswer = 'no configured upstream';

/** Asked as an upstream would be: over the same client, with any certificate. */
async function isWeir({ host, port }: ListenAddress, isTls: boolean, { clock }: Machine): Promise<boolean> {
  const near = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const endpoint = `${isTls ? 'https' : 'http'}://${formatListen({ host: near, port })}`;
  const nothing = (): void => undefined;
  const [probe] = createProbes({
    key: 'weir itself',
    endpoints: [endpoint],
    credentials: undefined,
    realms: [],
    allowHosts: [],
    tls: { caFile: undefined, certFile: undefined, keyFile: undefined, insecureSkipVerify: true },
    proxy: { kind: 'direct' },
    proxyEnvironment: { http: undefined, https: undefined, noProxy: [] },
    connections: 1,
    isOffline: false,
    clock,
    logger: silentLogger,
    events: {
      upstreamRequest: nothing,
      upstreamBytes: nothing,
      rateLimitRemaining: nothing,
      breakerChanged: nothing,
      upstreamRejected: nothing,
    },
  });
  if (probe === undefined) return false;
  const signal = AbortSignal.timeout(askTimeoutMs);
  try {
    const registry = await probe.ask(strangePath, signal);
    if (registry.status === 404 && registry.body.includes(strangeAnswer)) return true;
    const admin = await probe.ask('/readyz', signal);
    return admin.body.startsWith('{"status":"') && 'x-content-type-options' in admin.headers;
  } catch {
    // Whatever it is, it does not speak HTTP as weir does.
    return false;
  } finally {
    await probe.close();
  }
}

function checkCertificate(
  { certFile, keyFile }: NonNullable<Config['tls']>,
  { clock }: Machine,
  found: Findings,
): void {
  const [cert, key] = [readText(certFile), readText(keyFile)];
  if ('problem' in cert)
    return found.fail('tls', `${certFile}: ${cert.problem}`, 'name a file in tls.cert that weir may read');
  if ('problem' in key)
    return found.fail('tls', `${keyFile}: ${key.problem}`, 'name a file in tls.key that weir may read');
  try {
    const certificate = new X509Certificate(cert.text);
    const { validFrom, validTo } = certificate;
    const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
    if (!certificate.checkPrivateKey(createPrivateKey(key.text))) {
      return found.fail('tls', `${keyFile} is not the key of ${certFile}`, 'name the two that belong together');
    }
    if (toMs <= clock.now())
      return found.fail('tls', `${certFile} expired on ${validTo}`, 'renew it; weir reads it when it starts');
    if (endsSoon(fromMs, toMs, clock.now()))
      return found.warn('tls', `${certFile} expires on ${validTo}`, 'renew it, and restart weir');
    return found.ok('tls', `${certFile} is good until ${validTo}`);
  } catch (error) {
    // OpenSSL's reasons name no contents.
    const reason = error instanceof Error ? error.message : String(error);
    return found.fail(
      'tls',
      `the certificate or its key cannot be read: ${reason}`,
      'both must be PEM, the key without a password',
    );
  }
}
