import { systemClock } from '../../../src/lib/clock.ts';
import { AddressPolicy, type AddressPolicyOptions } from '../../../src/upstream/address-policy.ts';
import { PoolSender, type PoolSenderOptions } from '../../../src/upstream/pool-sender.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from '../../../src/upstream/sender.ts';
import { TlsSettings, type TlsFiles } from '../../../src/upstream/tls.ts';

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
  const sender = new PoolSender({
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
  });
  return Object.assign(sender, { [Symbol.asyncDispose]: () => sender.close() });
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
