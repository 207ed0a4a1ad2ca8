import { systemClock } from '../../../src/lib/clock.ts';
import { AddressPolicy, type AddressPolicyOptions } from '../../../src/upstream/network/address-policy.ts';
import { LenientSender } from '../../../src/upstream/exchange/lenient-sender.ts';
import { WorkerSender } from '../../../src/upstream/worker/sender.ts';
import { PoolSender, type PoolSenderOptions } from '../../../src/upstream/exchange/pool-sender.ts';
import { LocalLine } from './local-line.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from '../../../src/upstream/exchange/sender.ts';
import { TlsSettings, type TlsFiles } from '../../../src/upstream/network/tls.ts';

export const noTls: TlsFiles = {
  caFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  insecureSkipVerify: false,
};

type Overrides = Partial<Omit<PoolSenderOptions, 'policy'>> & { readonly policy?: Partial<AddressPolicyOptions> };

/** A sender for `home` with short limits where the test names none. */
export function senderFor(home: URL, overrides: Overrides = {}): PoolSender & AsyncDisposable {
  const { policy, ...rest } = overrides;
  const sender = new PoolSender(optionsFor(home, policy, rest));
  return Object.assign(sender, { [Symbol.asyncDispose]: () => sender.close() });
}

function optionsFor(
  home: URL,
  policy: Partial<AddressPolicyOptions> | undefined,
  rest: Partial<Omit<PoolSenderOptions, 'policy'>>,
): PoolSenderOptions {
  return {
    upstream: 'test',
    clock: systemClock,
    policy: new AddressPolicy({ home, endpoints: [], allowHosts: [], realms: [], ...policy }),
    tls: new TlsSettings(noTls),
    tlsPlace: (url) => (url.origin === home.origin ? 'endpoint' : 'elsewhere'),
    proxyFor: () => undefined,
    connectTimeoutMs: 3000,
    tlsTimeoutMs: 5000,
    bodyLimits: { idleMs: 60_000, floorBytesPerSecond: 16 * 1024, floorWindowMs: 60_000 },
    onBytes: () => undefined,
    ...rest,
  };
}

/** The same for requests that go over a line. */
export function lineSenderFor(
  home: URL,
  overrides: Overrides = {},
  worker = new LocalLine(),
): Sender & AsyncDisposable {
  const { policy, ...rest } = overrides;
  const options = optionsFor(home, policy, rest);
  const sender = new WorkerSender({ ...options, direct: new PoolSender(options) });
  const close = async (): Promise<void> => {
    await sender.close();
    await worker.close();
  };
  return {
    send: (request, signal) => sender.send({ ...request, worker }, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** As an endpoint has it: by its pool, or over a line first. */
export function lenientSenderFor(
  way: 'pool' | 'line',
  home: URL,
  clock: PoolSenderOptions['clock'] = systemClock,
): Sender & AsyncDisposable {
  const direct = senderFor(home, { clock });
  const strict = way === 'pool' ? direct : lineSenderFor(home, { clock });
  const sender = new LenientSender({ strict, direct, clock });
  const close = async (): Promise<void> => {
    await sender.close();
    await direct.close();
  };
  return { send: (request, signal) => sender.send(request, signal), close, [Symbol.asyncDispose]: close };
}

export function get(url: URL | string, base?: URL, rest: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return {
    method: 'GET',
    url: new URL(url, base),
    headers: {},
    credentialSet: 'anonymous',
    headTimeoutMs: 8000,
    ...rest,
  };
}

export async function bytesOf(response: IncomingResponse): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Sends, reads the body, and gives back both or the error. */
export async function fetchWith(sender: Sender, request: OutgoingRequest): Promise<{ status: number; body: Buffer }> {
  const response = await sender.send(request, new AbortController().signal);
  return { status: response.status, body: await bytesOf(response) };
}
