/** What `weir --help` knows is written down in docs/commands.md, and the other way round. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandLine } from '../support.ts';

const document = readFileSync(resolve(import.meta.dirname, '..', '..', '..', 'docs', 'commands.md'), 'utf8');

async function help(...argv: readonly string[]): Promise<string> {
  const line = new CommandLine();
  expect(await line.run(...argv, '--help')).toBe(0);
  return line.out;
}

/** `setup`, `config check`, with what follows them. */
async function commands(): Promise<readonly string[]> {
  const [, list = ''] = /^Commands:\n((?: {2}.*\n)+)/m.exec(await help()) ?? [];
  return [...list.matchAll(/^ {2}(\S+(?: \S+)*) {2,}/gm)].map(([, name = '']) => name);
}

describe('docs/commands.md', () => {
  it('has every command', async () => {
    const names = await commands();
    expect(names).toContain('setup CLIENT');
    expect(names.length).toBeGreaterThanOrEqual(5);
    for (const name of names) expect(document).toContain(`weir ${name}\``);
  });

  it('has every option, at the command that takes it', async () => {
    let seen = 0;
    for (const name of ['setup', 'doctor']) {
      const [, section = ''] =
        new RegExp(`^## weir ${name}\\n([\\s\\S]*?)(?=^## |(?![\\s\\S]))`, 'm').exec(document) ?? [];
      const [, list = ''] = /^Options:\n([\s\S]*)/m.exec(await help(name)) ?? [];
      for (const [, option = ''] of list.matchAll(/^ +(?:-\w, )?(--\w+(?: [A-Z]+)?)/gm)) {
        if (['--help', '--version', '--config FILE'].includes(option)) continue;
        expect(section, `${name} ${option}`).toContain(`${option}\``);
        seen += 1;
      }
    }
    expect(seen).toBe(9);
  });

  it('names no option that does not exist', async () => {
    const texts = await Promise.all([help(), help('setup'), help('doctor'), help('config', 'show')]);
    // Options of other programs stand in code blocks alone.
    const named = document.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`(?:-\w, )?(--[a-z]+)/g);
    const options = [...named].map(([, option = '']) => option);
    expect(options.length).toBeGreaterThan(8);
    for (const option of options) expect(texts.join('\n')).toContain(option);
  });
});
