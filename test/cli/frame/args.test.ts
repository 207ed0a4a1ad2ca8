import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CommandSyntax, parseCommandLine, UsageError } from '../../../src/cli/frame/args.ts';

const commands: readonly CommandSyntax[] = [
  { name: 'serve', options: ['config'] },
  { name: 'config check', options: ['config', 'json'] },
  { name: 'config show', options: ['config', 'json'] },
  { name: 'setup', operand: 'CLIENT', options: ['config', 'root', 'write', 'yes'] },
];
const nothing = {
  operands: [],
  config: undefined,
  json: false,
  upstream: undefined,
  url: undefined,
  ca: undefined,
  root: undefined,
  write: false,
  yes: false,
};
const parse = (...argv: readonly string[]) => parseCommandLine(argv, commands);

describe('the command line', () => {
  it('alone means serve', () => {
    const serve = { kind: 'command', name: 'serve', options: nothing };
    expect(parse()).toEqual(serve);
    expect(parse('serve')).toEqual(serve);
  });

  it.each([
    [['--config', 'a.yaml'], 'serve', 'a.yaml', false],
    [['-c', 'a.yaml'], 'serve', 'a.yaml', false],
    [['serve', '--config=-a.yaml'], 'serve', '-a.yaml', false],
    [['--config', 'a.yaml', 'serve'], 'serve', 'a.yaml', false],
    [['config', 'check', '--json'], 'config check', undefined, true],
    [['config', '-c', 'x', 'show'], 'config show', 'x', false],
  ] as const)('%j', (argv, name, config, json) => {
    expect(parse(...argv)).toEqual({ kind: 'command', name, options: { ...nothing, config, json } });
  });

  it('a command may take a word of its own', () => {
    const setup = { kind: 'command', name: 'setup' };
    expect(parse('setup')).toEqual({ ...setup, options: nothing });
    expect(parse('setup', '--root', '/mnt', 'docker', '--write', '-y')).toEqual({
      ...setup,
      options: { ...nothing, operands: ['docker'], root: '/mnt', write: true, yes: true },
    });
    expect(parse('setup', 'docker', '--help')).toEqual({ kind: 'help', command: 'setup' });
  });

  it.each([[['--version']], [['-V']], [['serve', '-V']]])('%j asks for the version', (argv) => {
    expect(parse(...argv)).toEqual({ kind: 'version' });
  });

  it.each([
    [['--help'], undefined],
    [['-h'], undefined],
    [['help'], undefined],
    [['serve', '--help'], 'serve'],
    [['help', 'config', 'show'], 'config show'],
    [['config', '--help'], 'config'],
  ])('%j asks for help', (argv, command) => {
    expect(parse(...argv)).toEqual({ kind: 'help', command });
  });

  it.each([
    [['serv'], 'unknown command "serv"; did you mean "serve"?'],
    [['config', 'chek'], 'unknown command "config chek"; did you mean "config check"?'],
    [['explode'], 'unknown command "explode"'],
    [['config'], 'weir config needs one of: config check, config show'],
    [['serve', 'now'], 'weir serve takes no "now"'],
    [['--confg', 'x'], 'unknown option --confg; did you mean --config?'],
    [['-x'], 'unknown option -x'],
    [['--no-json'], 'unknown option --no-json; did you mean --json?'],
    [['--config'], '--config needs a value'],
    [['--config='], '--config needs a value'],
    [['--config', '--help'], '--config needs a value'],
    [['-c'], '-c needs a value'],
    [['config', 'show', '--json=yes'], '--json takes no value'],
    [['-c', 'a', '--config', 'b'], '--config is given twice'],
    [['setup', 'docker', 'podman'], 'weir setup takes one CLIENT, not "podman" as well'],
    [['setup', 'docker', '--json'], '--json is not an option of weir setup'],
    [['setup', '--root', '--write'], '--root needs a value'],
    [['--json'], '--json is not an option of weir serve'],
    [['--__proto__'], 'unknown option --__proto__'],
    [['help', 'serv'], 'unknown command "serv"; did you mean "serve"?'],
  ])('%j is refused', (argv, message) => {
    expect(() => parse(...argv)).toThrow(new UsageError(message));
  });

  it('nothing else comes of any words', () => {
    const word = fc.oneof(
      fc.constantFrom('serve', 'config', 'check', 'show', '--config', '-c', '--json', '--', '-', '-hV'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), (argv) => {
        try {
          expect(['command', 'help', 'version']).toContain(parse(...argv).kind);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
