import { describe, expect, it } from 'vitest';
import { ClientAddresses, clientAddress, parseBlock } from '../../../src/lib/sharing/client-address.ts';

describe('the address of a client', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['0:0:0:0:0:FFFF:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['2001:0db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ])('of %s is %s', (address, text) => expect(clientAddress(address)).toBe(text));

  it.each(['', 'unknown', '1.2.3', '192.0.2.7:80', '_hidden'])('is undefined for %j', (text) =>
    expect(clientAddress(text)).toBeUndefined(),
  );

  it('is the same for two addresses of one /64 and differs from the next one', () => {
    expect(clientAddress('2001:db8::1')).toBe(clientAddress('2001:db8::ffff:ffff:ffff:ffff'));
    expect(clientAddress('2001:db8::1')).not.toBe(clientAddress('2001:db8:0:1::1'));
  });
});

describe('a block of addresses', () => {
  it.each([
    ['10.0.0.0/8', { address: '10.0.0.0', prefix: 8 }],
    ['10.0.0.1', { address: '10.0.0.1', prefix: 32 }],
    ['fd00::/8', { address: 'fd00::', prefix: 8 }],
    ['::1', { address: '::1', prefix: 128 }],
    ['10.0.0.0/33', undefined],
    ['10.0.0.0/', undefined],
    ['10.0.0.0/8/8', undefined],
    ['proxy.example', undefined],
  ])('%s', (text, block) => expect(parseBlock(text)).toEqual(block));
});

describe('a client behind proxies', () => {
  const through = new ClientAddresses([
    { address: '10.0.0.0', prefix: 8 },
    { address: 'fd00::', prefix: 8 },
  ]);
  it.each([
    ['a peer that is not trusted says nothing', '192.0.2.1', '198.51.100.9', '192.0.2.1'],
    ['the last entry counts', '10.0.0.1', '203.0.113.5, 198.51.100.9', '198.51.100.9'],
    ['trusted proxies in a row are passed over', '10.0.0.1', '203.0.113.5, 198.51.100.9, 10.1.1.1', '198.51.100.9'],
    ['where all are trusted, the first one', '10.0.0.1', '10.0.0.3,10.0.0.2', '10.0.0.3'],
    ['without the header, the proxy', '10.0.0.1', undefined, '10.0.0.1'],
    ['an empty header, the proxy', '10.0.0.1', '', '10.0.0.1'],
    ['what is no address ends it', '10.0.0.1', '198.51.100.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['ports do not count', '10.0.0.1', '198.51.100.9:4711', '198.51.100.9'],
    ['brackets and ports do not count', 'fd00::1', '[2001:db8::1]:4711', '2001:db8:0:0::/64'],
    ['a proxy met over IPv6 by its IPv4 address', '::ffff:10.0.0.1', '198.51.100.9', '198.51.100.9'],
  ])('%s', (_what, peer, header, client) => expect(through.of(peer, header)).toBe(client));

  it('looks at no more than 32 entries of a header that is full of trusted ones', () => {
    expect(through.of('10.0.0.1', `198.51.100.9,${'10.0.0.2,'.repeat(5000)}10.0.0.2`)).toBe('10.0.0.2');
  });

  it('trusts nobody where nobody is named', () => {
    expect(new ClientAddresses().of('10.0.0.1', '198.51.100.9')).toBe('10.0.0.1');
    expect(new ClientAddresses().isTrusted('10.0.0.1')).toBe(false);
    expect(through.isTrusted('10.0.0.1')).toBe(true);
    expect(through.isTrusted(undefined)).toBe(false);
  });
});
