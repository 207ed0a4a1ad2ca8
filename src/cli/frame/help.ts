/** The help texts, made from the commands. */
import type { Command } from './command.ts';

const optionHelp = {
  config: ['-c, --config FILE', 'Configuration file (YAML). Default: WEIR_CONFIG, else none.'],
  json: ['    --json', 'Print JSON.'],
  upstream: ['    --upstream NAME', 'Only this upstream, by its key.'],
  url: ['    --url URL', 'Where clients find weir: http://host:port. Default: from the configuration.'],
  ca: ['    --ca FILE', "Whom clients must trust, PEM. Default: the listener's certificate, if self-signed."],
  root: ['    --root DIR', 'Take DIR for /: for images, nodes and tests.'],
  write: ['    --write', 'Put the files in place, after showing what changes.'],
  yes: ['-y, --yes', 'Do not ask.'],
} as const;
const generalHelp = [
  ['-h, --help', 'Say what there is.'],
  ['-V, --version', 'Print the version.'],
] as const;

/** `topic`: a command, the first word of several, or undefined for everything. */
export function helpText(topic: string | undefined, commands: readonly Command[]): string {
  const [command] = commands.filter(({ name }) => name === topic);
  return command === undefined ? overview(commands.filter(({ name }) => isBelow(name, topic))) : details(command);
}

function isBelow(name: string, topic: string | undefined): boolean {
  return topic === undefined || name.startsWith(`${topic} `);
}

function overview(commands: readonly Command[]): string {
  return [
    'weir, a pull-through cache for OCI registries',
    '',
    'Usage: weir [command] [options]',
    '',
    'Commands:',
    ...aligned(
      commands.map(({ name, operand, summary }) => [operand === undefined ? name : `${name} ${operand}`, summary]),
    ),
    '',
    'Options:',
    ...aligned([optionHelp.config, ...generalHelp]),
    '',
    'weir COMMAND --help says more. Without a configuration it serves the well-known public registries on',
    '127.0.0.1:5000; docs/configuration.md has every key and variable.',
    '',
  ].join('\n');
}

function details({ name, summary, help, options, operand }: Command): string {
  return [
    `Usage: weir ${name} ${operand === undefined ? '' : `${operand} `}[options]`,
    '',
    summary,
    help,
    '',
    'Options:',
    ...aligned([...options.map((option) => optionHelp[option]), ...generalHelp]),
    '',
  ].join('\n');
}

function aligned(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
