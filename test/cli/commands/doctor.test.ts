import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { tempDirectory } from '../../support/temp.ts';
import { hold, stall } from '../../support/upstream/behaviour.ts';
import { CommandLine } from '../support.ts';
import { runDoctor, verdicts } from '../doctor/support.ts';

/** Ports that the system chooses are always free. */
const anyPorts = { listen: '127.0.0.1:0', admin: { listen: '127.0.0.1:0' } };

describe('weir doctor', () => {
  it('looks at everything, and says what to do where something is wrong', async () => {
    await using temp = await tempDirectory();
    await using upstream = await ScriptedUpstream.start();
    const gone = await ScriptedUpstream.start();
    await gone.stop();
    const upstreams = { lab: { url: upstream.url }, gone: { url: gone.url } };
    const config = { ...anyPorts, builtinUpstreams: false, cache: { root: temp.file('cache') }, upstreams };
    await writeFile(temp.file('weir.yaml'), JSON.stringify(config));
    const line = new CommandLine({ machine: { openFiles: () => 65_536 } });
    expect(await line.run('doctor', '-c', temp.file('weir.yaml'))).toBe(1);
    for (const start of [
      'ok    config keys: no problems; 2 upstreams',
      'ok    process node: ',
      'ok    process openFiles: ',
      'ok    cache.root directory: ',
      'ok    listen port: ',
      'ok    admin.listen port: ',
      `ok    lab connection: ${upstream.url} at 127.0.0.1, `,
      `ok    lab registry: ${upstream.url}/v2/ is a registry\n`,
      'fail  gone connection: ',
      '      -> nothing listens there: check upstreams.gone.url, and firewalls\n',
    ]) {
      expect(line.out).toContain(start);
    }
    expect(line.out).toMatch(/\n\d+ ok, \d+ to think about, 1 to repair\n$/);
    expect(line.err).toBe('');
  });

  it('every line that is not ok says what to do', async () => {
    const { findings, code } = await runDoctor({
      upstream: { url: 'https://registry.invalid', access: 'all' },
      config: { listen: '203.0.113.1:80', admin: { listen: '203.0.113.1:81' } },
      machine: { openFiles: () => 100, nodeVersion: '18.0.0', uid: 4711 },
    });
    const wrong = findings.filter(({ level }) => level !== 'ok');
    expect(code).toBe(1);
    expect(wrong.length).toBeGreaterThan(6);
    for (const { advice } of wrong) expect(advice?.length).toBeGreaterThan(10);
  });

  it('names the problems of the configuration, and looks at nothing else then', async () => {
    await using temp = await tempDirectory();
    await writeFile(temp.file('weir.yaml'), 'listn: x\ntags: { ttl: 1 }\n');
    const line = new CommandLine();
    expect(await line.run('doctor', '--json', '-c', temp.file('weir.yaml'))).toBe(1);
    const lines = line.out
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text) as object);
    expect(lines).toMatchObject([
      { level: 'fail', subject: 'config', message: expect.stringContaining('weir.yaml:1: listn: unknown key') },
      { level: 'fail', subject: 'config', message: expect.stringContaining('weir.yaml:2: tags.ttl') },
      { summary: { ok: 0, warn: 0, fail: 2 } },
    ]);
  });

  it('dials nobody when weir shall not', async () => {
    await using upstream = await ScriptedUpstream.start();
    const checked = await runDoctor({ upstream: { url: upstream.url }, config: { ...anyPorts, offline: true } });
    expect(verdicts(checked).at(-1)).toBe('offline ok');
    expect(upstream.connections).toBe(0);
  });

  it('with --upstream looks at that one alone; an unknown one is exit code 2', async () => {
    await using upstream = await ScriptedUpstream.start();
    const options = { upstream: { url: upstream.url } };
    const one = await runDoctor(options, ['--upstream', 'LAB']);
    expect(new Set(one.findings.map(({ subject }) => subject))).toEqual(new Set(['lab']));
    const none = await runDoctor(options, ['--upstream', 'lap']);
    expect(none).toMatchObject({ code: 2, findings: [] });
    expect(none.text).toContain('did you mean lab?');
  });

  it('does not let one upstream wait for another, says on a terminal whom it waits for, and ends it after 30 s', async () => {
    await using temp = await tempDirectory();
    await using slow = await ScriptedUpstream.start();
    await using quick = await ScriptedUpstream.start();
    const gate = slow.gate('ping');
    slow.on({ kind: 'ping' }, hold('before', gate));
    const upstreams = { slow: { url: slow.url }, quick: { url: quick.url } };
    const config = { ...anyPorts, builtinUpstreams: false, cache: { root: temp.file('cache') }, upstreams };
    await writeFile(temp.file('weir.yaml'), JSON.stringify(config));
    const line = new CommandLine({ isTTY: true });
    const code = line.run('doctor', '-c', temp.file('weir.yaml'));
    await eventually(
      () => line.out.includes('quick registry: '),
      () => line.out,
    );
    expect(line.err).toMatch(/looking at slow …$/);
    expect(line.out).not.toContain('slow');
    gate.open();
    expect(await code).toBe(0);
    expect(line.out).toContain('ok    slow registry: ');
    expect(line.err.endsWith('\r\u001b[K')).toBe(true);
  });

  it('ends an upstream that drips after 30 s, with what was found until then', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({ kind: 'ping' }, stall(1));
    const clock = new FakeClock();
    const running = runDoctor({ upstream: { url: upstream.url }, machine: { clock } }, ['--upstream', 'lab']);
    await upstream.received({ kind: 'ping' });
    await eventually(
      () => upstream.matching({ kind: 'ping' })[0]?.bodyBytes === 1,
      () => JSON.stringify(upstream.matching({ kind: 'ping' })),
    );
    await clock.advance(30_000);
    const checked = await running;
    expect(checked.code).toBe(1);
    expect(verdicts(checked)[0]).toBe('connection ok');
    expect(clock.pending).toBe(0);
  });
});
