import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startDaemon } from '../../../src/daemon/daemon.ts';
import { checkAdmin, checkListen } from '../../../src/cli/doctor/listeners.ts';
import { thisMachine } from '../../../src/cli/frame/machine.ts';
import { configIn } from '../../support/config-file.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { testCertificate, testKey } from '../../support/tls.ts';
import { TestAuthority } from '../../upstream/support/certificates.ts';
import { serve } from '../../upstream/support/servers.ts';
import { verdicts } from './support.ts';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('weir doctor, of the listeners', () => {
  it('free ports', async () => {
    await using temp = await tempDirectory();
    const [listen, admin] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const config = await configIn(temp, { listen, admin: { listen: admin } });
    for (const check of [checkListen, checkAdmin]) {
      const findings = await check(config, thisMachine);
      expect(verdicts({ findings })).toEqual(['port ok', 'access ok']);
      expect(findings[0]?.message).toContain('is free');
    }
  });

  it.each([1, 2])('ports that a running weir holds, with %d threads', async (threads) => {
    await using temp = await tempDirectory();
    const config = await configIn(temp, {
      listen: '127.0.0.1:0',
      admin: { listen: '127.0.0.1:0' },
      serve: { threads },
      upstreams: { 'lab.example': { default: true } },
    });
    const daemon = await startDaemon(config, { logTo: { write: () => undefined }, ownsProcess: false });
    try {
      const { registry, admin } = daemon.addresses;
      const running = { ...config, listen: registry, admin: { ...config.admin, listen: admin } };
      for (const check of [checkListen, checkAdmin]) {
        const findings = await check(running, thisMachine);
        expect(findings[0]).toMatchObject({ level: 'ok', message: expect.stringContaining('a running weir holds') });
      }
    } finally {
      await daemon.stop();
    }
  });

  it('a port that somebody else holds, whatever it speaks', async () => {
    await using temp = await tempDirectory();
    await using web = await serve((_, response) => response.end('<html>{"status":"ready"}'));
    const mute = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('220 mail\r\n'),
    ).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    try {
      for (const port of [web.port, (mute.address() as AddressInfo).port]) {
        const listen = `127.0.0.1:${port}`;
        const config = await configIn(temp, { listen, admin: { listen: '127.0.0.1:0' } });
        const [found] = await checkListen(config, thisMachine);
        expect(found).toMatchObject({ level: 'fail', check: 'port', message: `another program holds ${listen}` });
        expect(found?.advice).toContain(`sport = :${port}`);
      }
    } finally {
      mute.close();
      await once(mute, 'close');
    }
  });

  it('an address that is not of this machine', async () => {
    await using temp = await tempDirectory();
    // TEST-NET-3 (RFC 5737).
    const config = await configIn(temp, { listen: '203.0.113.1:5000' });
    const [found] = await checkListen(config, thisMachine);
    expect(found).toMatchObject({ level: 'fail', check: 'port', advice: expect.stringContaining('0.0.0.0') });
  });

  it('a listener for everybody in front of what only the credential may read', async () => {
    await using temp = await tempDirectory();
    const listen = `0.0.0.0:${await freePort()}`;
    const lab = { url: 'https://lab.example', access: 'all' };
    const open = await checkListen(await configIn(temp, { listen, upstreams: { lab } }), thisMachine);
    expect(open.at(-1)).toMatchObject({ level: 'warn', check: 'access', message: expect.stringContaining('lab') });
    const shut = await checkListen(
      await configIn(temp, { listen, upstreams: { lab: { ...lab, access: 'public' } } }),
      thisMachine,
    );
    expect(shut.at(-1)?.level).toBe('ok');
  });

  it('an admin listener for everybody, without a token and with one', async () => {
    await using temp = await tempDirectory();
    const listen = `0.0.0.0:${await freePort()}`;
    const [, without] = await checkAdmin(await configIn(temp, { admin: { listen } }), thisMachine);
    expect(without).toMatchObject({
      level: 'warn',
      check: 'access',
      advice: expect.stringContaining('admin.tokenFile'),
    });
    await writeFile(temp.file('token'), 'secret\n');
    const config = await configIn(temp, { admin: { listen, tokenFile: temp.file('token') } });
    const [, withToken] = await checkAdmin(config, thisMachine);
    expect(withToken?.level).toBe('ok');
  });

  it('its own certificate: good, ending soon, ended, and with the key of another one', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('cert'), testCertificate);
    await writeFile(temp.file('key'), testKey);
    const listen = `127.0.0.1:${await freePort()}`;
    const check = async (cert: string, key: string, now = Date.UTC(2027, 0, 1)): Promise<string> => {
      const config = await configIn(temp, { listen, tls: { cert, key } });
      const [found] = await checkListen(config, { ...thisMachine, clock: new FakeClock(now) });
      return `${found?.check} ${found?.level}: ${found?.message}`;
    };
    const [cert, key] = [temp.file('cert'), temp.file('key')];
    expect(await check(cert, key)).toMatch(/^tls ok: .* good until /);
    expect(await check(cert, key, Date.UTC(2126, 9, 20))).toMatch(/^tls warn: .* expires on /);
    expect(await check(cert, key, Date.UTC(2126, 10, 20))).toMatch(/^tls fail: .* expired on /);
    expect(await check(cert, cert)).toMatch(/^tls fail: the certificate or its key cannot be read/);
    const other = await (await TestAuthority.create(temp)).sign('other', ['DNS:localhost']);
    expect(await check(cert, other.keyFile)).toMatch(/^tls fail: .* is not the key of /);
  });
});
