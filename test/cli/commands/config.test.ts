import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CommandLine } from '../support.ts';

const dir = mkdtempSync(join(tmpdir(), 'weir-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));
const good = join(dir, 'good.yaml');
const bad = join(dir, 'bad.yaml');
writeFileSync(good, 'listen: 127.0.0.1:1\n');
writeFileSync(bad, 'listn: x\ncache: { maxSize: 10G }\n');

describe('weir config check', () => {
  it('says when all is fine', async () => {
    const line = new CommandLine();
    expect(await line.run('config', 'check', '--config', good)).toBe(0);
    expect(line.out).toBe('The configuration is fine: 10 upstreams, the default is docker.io.\n');
    expect(line.err).toBe('');
  });

  it('names every problem, file and variables alike, and exits with 2', async () => {
    const line = new CommandLine({ env: { WEIR_CONFIG: bad, WEIR_LISTN: 'x' } });
    expect(await line.run('config', 'check')).toBe(2);
    expect(line.out).toBe('');
    expect(line.err).toBe(
      `${bad}:1: listn: unknown key; did you mean listen?\n` +
        `${bad}:2: cache.maxSize: found "10G": write 10GB (powers of 1000) or 10GiB (powers of 1024)\n` +
        'WEIR_LISTN: unknown variable; did you mean WEIR_LISTEN?\n' +
        'weir: 3 problems in the configuration\n',
    );
  });

  it('says both in JSON', async () => {
    const fine = new CommandLine();
    expect(await fine.run('config', 'check', '--json')).toBe(0);
    expect(JSON.parse(fine.out)).toEqual({ ok: true, problems: [] });
    const wrong = new CommandLine();
    expect(await wrong.run('config', 'check', '--json', '-c', bad)).toBe(2);
    expect(JSON.parse(wrong.out)).toMatchObject({
      ok: false,
      problems: [
        { origin: { kind: 'file', file: bad, line: 1 }, path: 'listn' },
        { path: 'cache.maxSize', found: '"10G"' },
      ],
    });
    expect(wrong.err).toBe('');
  });
});

describe('weir config show', () => {
  it('prints what is in effect', async () => {
    const line = new CommandLine({ env: { WEIR_TAGS_TTL: '5m' } });
    expect(await line.run('config', 'show', '-c', good)).toBe(0);
    expect(line.out).toContain(`listen: 127.0.0.1:1 # ${good}:1\n`);
    expect(line.out).toContain('  ttl: 5m # WEIR_TAGS_TTL\n');
    const json = new CommandLine();
    expect(await json.run('config', 'show', '--json', '-c', good)).toBe(0);
    expect(JSON.parse(json.out)).toMatchObject({ listen: '127.0.0.1:1', tags: { ttl: '1m' } });
  });

  it('shows nothing of a configuration that is wrong', async () => {
    const line = new CommandLine();
    expect(await line.run('config', 'show', '-c', bad)).toBe(2);
    expect(line.out).toBe('');
    expect(line.err).toContain('2 problems');
  });
});

describe('weir', () => {
  it('says its version and what there is', async () => {
    const version = new CommandLine();
    expect(await version.run('--version')).toBe(0);
    expect(version.out).toBe('1.2.3\n');
    const help = new CommandLine();
    expect(await help.run('--help')).toBe(0);
    for (const word of ['serve', 'config check', 'config show', '--config FILE', '--help', '--version'])
      expect(help.out).toContain(word);
    const group = new CommandLine();
    expect(await group.run('config', '-h')).toBe(0);
    expect(group.out).toContain('config show');
    expect(group.out).not.toContain('serve ');
    const one = new CommandLine();
    expect(await one.run('help', 'config', 'check')).toBe(0);
    expect(one.out).toContain('Usage: weir config check [options]');
    expect(one.out).toContain('--json');
  });

  it('a command line that makes no sense is exit code 2 and one suggestion', async () => {
    const line = new CommandLine();
    expect(await line.run('serv\n\u001b[31m')).toBe(2);
    expect(line.err).toBe('weir: unknown command "serv\\u{a}\\u{1b}[31m"\nweir --help says what there is.\n');
    expect(line.out).toBe('');
  });

  it('help fits a terminal', async () => {
    for (const argv of [['--help'], ['serve', '--help'], ['config', 'check', '--help']]) {
      const line = new CommandLine();
      await line.run(...argv);
      expect(Math.max(...line.out.split('\n').map((text) => text.length))).toBeLessThanOrEqual(120);
      expect(line.out.length).toBeGreaterThan(100);
    }
  });
});
