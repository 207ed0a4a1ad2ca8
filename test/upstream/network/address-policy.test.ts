import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyAddress } from '../../../src/upstream/network/address-class.ts';
import { AddressPolicy, type AddressPolicyOptions } from '../../../src/upstream/network/address-policy.ts';
import { isOwnAddress } from '../../../src/upstream/network/own-addresses.ts';

const home = new URL('https://registry.example');
const publicAddress = '8.8.8.8';

function policyOf(overrides: Partial<AddressPolicyOptions> = {}, homeAddress = publicAddress): AddressPolicy {
  const policy = new AddressPolicy({ home, endpoints: [], allowHosts: [], realms: [], ...overrides });
  policy.accepts(home, homeAddress);
  return policy;
}

/** A machine that has these addresses. */
function networkInterfacesOf(...addresses: string[]): ReturnType<typeof networkInterfaces> {
  const common = { netmask: '', mac: '', internal: false, cidr: null };
  const infos = addresses.map((address) =>
    isIP(address) === 6
      ? { ...common, address, family: 'IPv6' as const, scopeid: 0 }
      : { ...common, address, family: 'IPv4' as const },
  );
  return { eth0: infos };
}

/** What a look-up through the policy resolves to. */
function lookUp(policy: AddressPolicy, url: URL): Promise<string | LookupAddress[]> {
  const refused = (): Error => new Error('refused');
  return new Promise((resolve, reject) => {
    policy.lookupFor(url, refused)(url.hostname, { all: true }, (error, addresses) =>
      error === null ? resolve(addresses) : reject(error),
    );
  });
}

const publicOnes = `
  8.8.8.8 1.1.1.1 172.15.0.1 172.32.0.1 100.63.255.255 100.128.0.1 192.169.0.1 11.0.0.1 2600::1 2a00:1450::1
  2001:200::1 2606:4700::1111 2a00:1450::5efe:8.8.8.8 2a00:1450::200:5efe:808:808 2a00:1450::5eff:a00:1
  2a00:1450::5efe:a00:1:0`;

const privateOnes = `
  10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 192.0.0.1 198.18.0.1 224.0.0.1 255.255.255.255 240.0.0.1
  fec0::1 fc00::1 fd12:3456::1 ff02::1 2001:db8::1 ::ffff:8.8.8.8 ::8.8.8.8 2002:808:808:: 64:ff9b:1::1 64:ff9b:1::a00:1
  64:ff9b::a00:1 2a00:1450::5efe:10.0.0.1 2a00:1450::200:5efe:192.168.0.1 fd12::5efe:8.8.8.8
  2001:0:4136:e378:8000:63bf:3fff:fdd2 localhost registry.example 1.2.3 0x7f.1`;

const loopbackOnes = `
  127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 :: ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:0.0.0.0 ::127.0.0.1
  ::ffff:0:127.0.0.1 2002:7f00:1:: 2002:7f00:1::abcd 64:ff9b::127.0.0.1 64:ff9b:1::7f00:1 2001:0:7f00:1::
  2001:0:808:808::80ff:fffe 2a00:1450::5efe:127.0.0.1 2a00:1450::200:5efe:7f00:1`;

/** Metadata services: Amazon, Google, Azure and most others; Alibaba; Oracle; and what they are over IPv6. */
const linkLocalOnes = `
  169.254.169.254 169.254.170.2 169.254.0.1 100.100.100.200 192.0.0.192 168.63.129.16 fe80::1 fe80::1%eth0
  febf:ffff::1 fe80::a9fe:a9fe fd00:ec2::254 fd00:ec2::23 FD00:EC2:0:0:0:0:0:254 fd20:ce::254 fd00:c1::a9fe:a9fe
  fd00:42::42 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:100.100.100.200 ::a9fe:a9fe ::ffff:0:a9fe:a9fe
  2002:a9fe:a9fe:: 2002:6464:64c8::1 2002:c000:c0::1 64:ff9b::a9fe:a9fe 64:ff9b::169.254.169.254
  64:ff9b::100.100.100.200 64:ff9b::192.0.0.192 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:a9:fe:a9fe::
  64:ff9b:1:0:a9:fea9:fe00:: 2001:0:a9fe:a9fe:: 2001:0:808:808::5601:5601
  2a00:1450::5efe:169.254.169.254 2a00:1450:1:2:200:5efe:a9fe:a9fe fd12::5efe:100.100.100.200 fe80::5efe:a00:1`;

function wordsOf(text: string): string[] {
  return text.trim().split(/\s+/);
}

describe('address classes', () => {
  it.each(wordsOf(publicOnes))('%s is public', (address) => {
    expect(classifyAddress(address)).toBe('public');
  });

  it.each(wordsOf(privateOnes))('%s is private', (address) => {
    expect(classifyAddress(address)).toBe('private');
  });

  it.each(wordsOf(loopbackOnes))('%s is this machine', (address) => {
    expect(classifyAddress(address)).toBe('loopback');
  });

  it.each(wordsOf(linkLocalOnes))('%s is link-local, or a metadata service', (address) => {
    expect(classifyAddress(address)).toBe('linkLocal');
  });

  it.each(['64:ff9b::8.8.8.8', '64:ff9b::808:808', '64:FF9B:0:0:0:0:808:0808'])(
    '%s is a public one behind NAT64',
    (address) => {
      expect(classifyAddress(address)).toBe('nat64');
    },
  );

  it('an IPv6 address that carries an IPv4 one is no more public than that', () => {
    const byte = fc.nat({ max: 255 });
    fc.assert(
      fc.property(fc.tuple(byte, byte, byte, byte), (bytes) => {
        const dotted = bytes.join('.');
        const hex = bytes.map((value) => value.toString(16).padStart(2, '0'));
        const groups = `${hex[0]}${hex[1]}:${hex[2]}${hex[3]}`;
        const inner = classifyAddress(dotted);
        const nowhereElse = inner === 'public' || inner === 'private' ? 'private' : inner;
        for (const text of [`::ffff:${dotted}`, `::ffff:0:${groups}`, `::${groups}`, `2002:${groups}::1`]) {
          expect([text, isIP(text), classifyAddress(text)]).toEqual([text, 6, nowhereElse]);
        }
        expect(classifyAddress(`2001:0:${groups}::`)).not.toMatch(/public|nat64/);
        for (const id of ['0:5efe', '200:5efe']) {
          expect(classifyAddress(`2a00:1450:1:2:${id}:${groups}`)).toBe(inner);
          expect(classifyAddress(`fd12:0:0:1:${id}:${groups}`)).toBe(nowhereElse);
        }
        expect(classifyAddress(`64:ff9b::${groups}`)).toBe(inner === 'public' ? 'nat64' : nowhereElse);
      }),
    );
  });
});

describe('address policy', () => {
  const elsewhere = new URL('https://cdn.example/blob');

  it('a public upstream leads to public addresses only', () => {
    const policy = policyOf();
    expect(policy.accepts(elsewhere, '1.1.1.1')).toBe(true);
    for (const address of ['127.0.0.1', '169.254.169.254', '10.0.0.1', '::1', '64:ff9b::101:101']) {
      expect(policy.accepts(elsewhere, address)).toBe(false);
    }
  });

  it('counts as public until its own address is known', () => {
    const policy = new AddressPolicy({ home, endpoints: [], allowHosts: [], realms: [] });
    expect(policy.accepts(elsewhere, '10.0.0.1')).toBe(false);
  });

  it('a private upstream may lead into its network, until its name turns out to be public', () => {
    const policy = policyOf({}, '10.0.0.7');
    expect(policy.accepts(elsewhere, '10.0.0.9')).toBe(true);
    policy.accepts(home, publicAddress);
    expect(policy.accepts(elsewhere, '10.0.0.9')).toBe(false);
  });

  const machine = ['127.0.0.1', '0.0.0.0', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::'];
  const metadata = [
    '169.254.169.254',
    'fd00:ec2::254',
    '100.100.100.200',
    '192.0.0.192',
    '::ffff:a9fe:a9fe',
    'fe80::1',
  ];

  it('a private upstream leads neither to this machine nor to a metadata service', () => {
    const policy = policyOf({}, '10.0.0.7');
    for (const address of [...machine, ...metadata]) {
      expect([address, policy.accepts(elsewhere, address)]).toEqual([address, false]);
    }
  });

  it('an upstream on this machine leads to this machine and its network, not to a metadata service', () => {
    const policy = policyOf({}, '127.0.0.1');
    for (const address of ['127.0.0.2', '::1', '10.0.0.9', 'fd12::1', '1.1.1.1', '64:ff9b::808:808']) {
      expect([address, policy.accepts(elsewhere, address)]).toEqual([address, true]);
    }
    for (const address of metadata) expect([address, policy.accepts(elsewhere, address)]).toEqual([address, false]);
  });

  it.each(['10.0.0.7', publicAddress, '64:ff9b::808:808'])(
    'an upstream at %s leads to none of the addresses of this machine, however they are written',
    (homeAddress) => {
      const own = networkInterfacesOf('10.0.0.5', '9.9.9.9', '2a00:1450::5');
      const policy = policyOf({ isOwn: (address) => isOwnAddress(address, own) }, homeAddress);
      const written = `10.0.0.5 9.9.9.9 2a00:1450::5 2A00:1450:0:0:0:0:0:5 ::ffff:10.0.0.5 64:ff9b::9.9.9.9 2002:909:909::1`;
      for (const address of wordsOf(written))
        expect([address, policy.accepts(elsewhere, address)]).toEqual([address, false]);
      for (const address of ['1.1.1.1', '2a00:1450::6']) expect(policy.accepts(elsewhere, address)).toBe(true);
    },
  );

  it('an upstream at an address of this machine leads to this machine and its network', () => {
    const own = networkInterfacesOf('10.0.0.5');
    const policy = policyOf({ isOwn: (address) => isOwnAddress(address, own) }, '10.0.0.5');
    for (const address of ['10.0.0.5', '127.0.0.1', '10.0.0.9'])
      expect([address, policy.accepts(elsewhere, address)]).toEqual([address, true]);
  });

  it('what configuration names may be an address of this machine', () => {
    const own = networkInterfacesOf('10.0.0.5');
    const policy = policyOf({ isOwn: (address) => isOwnAddress(address, own), allowHosts: ['minio.lan'] });
    expect(policy.accepts(new URL('http://minio.lan/x'), '10.0.0.5')).toBe(true);
  });

  it('the addresses of this machine are looked for on its interfaces', () => {
    const found = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    expect(found.length).toBeGreaterThan(0);
    for (const { address } of found) expect([address, isOwnAddress(address)]).toEqual([address, true]);
    expect(isOwnAddress(publicAddress)).toBe(false);
  });

  it('an upstream with a link-local address leads to that address, and to no other of the kind', () => {
    const policy = policyOf({}, '169.254.20.10');
    expect(policy.accepts(elsewhere, '169.254.20.10')).toBe(true);
    expect(policy.accepts(elsewhere, '10.0.0.9')).toBe(true);
    for (const address of [...machine, ...metadata]) {
      expect([address, policy.accepts(elsewhere, address)]).toEqual([address, false]);
    }
  });

  it.each([
    ['this machine', '127.0.0.1', '127.0.0.2'],
    ['a link-local address', '169.254.169.254', '169.254.169.254'],
  ])('a private upstream whose name leads to %s for once may lead nowhere else for it', (_, first, wanted) => {
    const policy = policyOf({}, first);
    policy.accepts(home, '10.0.0.7');
    policy.accepts(home, first);
    expect(policy.accepts(elsewhere, '10.0.0.9')).toBe(true);
    expect(policy.accepts(elsewhere, wanted)).toBe(false);
  });

  it('what configuration names may be a metadata service', () => {
    const policy = policyOf({ allowHosts: ['tokens.lan'] }, '10.0.0.7');
    expect(policy.accepts(new URL('http://tokens.lan/x'), '169.254.169.254')).toBe(true);
  });

  it('a public upstream does not become private by resolving to a private address for once', () => {
    const policy = policyOf();
    expect(policy.accepts(home, '127.0.0.1')).toBe(true);
    expect(policy.accepts(elsewhere, '127.0.0.1')).toBe(false);
  });

  it('in a network with IPv6 only, NAT64 leads to public places', () => {
    const policy = policyOf({}, '64:ff9b::808:808');
    expect(policy.accepts(elsewhere, '64:ff9b::101:101')).toBe(true);
    expect(policy.accepts(elsewhere, '64:ff9b::a00:1')).toBe(false);
  });

  it('what configuration names may lie anywhere', () => {
    const policy = policyOf({
      endpoints: [new URL('http://mirror.lan:5000')],
      allowHosts: ['minio.lan', 'store.lan:9000'],
      realms: ['auth.lan', 'http://tokens.lan:8080'],
    });
    for (const [url, isAccepted] of [
      ['http://mirror.lan:5000/x', true],
      ['http://mirror.lan:5001/x', false],
      ['https://minio.lan:9443/x', true],
      ['https://sub.minio.lan/x', false],
      ['http://store.lan:9000/x', true],
      ['http://store.lan/x', false],
      ['https://auth.lan/token', true],
      ['http://auth.lan/token', false],
      ['https://auth.lan:8443/token', false],
      ['http://tokens.lan:8080/', true],
    ] as const) {
      expect([url, policy.accepts(new URL(url), '10.0.0.1')]).toEqual([url, isAccepted]);
    }
  });

  it('a look-up yields the acceptable addresses only, and fails when none is', async () => {
    const answers: Record<string, string[]> = {
      'both.example': ['10.0.0.1', '1.1.1.1', '::1'],
      'inside.example': ['10.0.0.1'],
    };
    const lookup = ((name: string, _: object, callback: (error: null, found: LookupAddress[]) => void) =>
      callback(
        null,
        (answers[name] ?? []).map((address) => ({ address, family: isIP(address) })),
      )) as never;
    const policy = policyOf({ lookup });
    expect(await lookUp(policy, new URL('https://both.example'))).toEqual([{ address: '1.1.1.1', family: 4 }]);
    await expect(lookUp(policy, new URL('https://inside.example'))).rejects.toThrow('refused');
  });
});
