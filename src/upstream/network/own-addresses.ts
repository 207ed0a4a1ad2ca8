/**
 * The addresses of this machine's own interfaces. What is sent to one of them never leaves the machine: it reaches
 * services that listen on all addresses, and passes by the rules of a firewall, as what is sent to loopback does.
 */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { embeddedIPv4 } from './address-class.ts';

/** Interfaces come and go while weir runs, so they are read each time: that costs less than the connection it is for. */
export function isOwnAddress(address: string, interfaces = networkInterfaces()): boolean {
  const wanted = formsOf(address);
  const own = Object.values(interfaces).flatMap((found) => found ?? []);
  return own.some(({ address: mine }) => formsOf(mine).some((form) => wanted.includes(form)));
}

/** One way of writing for each address, and the IPv4 addresses that it carries. */
function formsOf(address: string): readonly string[] {
  const [plain = ''] = address.split('%', 1);
  const family = isIP(plain);
  if (family !== 6) return [plain];
  return [new URL(`http://[${plain}]/`).hostname, ...embeddedIPv4(plain)];
}
