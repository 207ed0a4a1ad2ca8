/** The command line as a value: which command, with which options. Strict: what is not known is an error. */
import { parseArgs } from 'node:util';
import { closest } from '../../config/values/suggest.ts';

export interface Options {
  /** Words after the command, where it takes any. */
  readonly operands: readonly string[];
  /** `--config FILE`. */
  readonly config: string | undefined;
  readonly json: boolean;
  /** `--upstream NAME`: its key. */
  readonly upstream: string | undefined;
  /** `--url URL`: where clients find weir. */
  readonly url: string | undefined;
  /** `--ca FILE`: whom clients must trust. */
  readonly ca: string | undefined;
  /** `--root DIR`: where `/` is. */
  readonly root: string | undefined;
  readonly write: boolean;
  readonly yes: boolean;
}

export type OptionName = Exclude<keyof Options, 'operands'>;

export interface CommandSyntax {
  /** As typed: `serve`, `config check`. */
  readonly name: string;
  /** What may follow the name: one word, called so in the help. Whether it has to is the command's to say. */
  readonly operand?: string;
  readonly options: readonly OptionName[];
}

export type Invocation =
  | { readonly kind: 'help'; readonly command: string | undefined }
  | { readonly kind: 'version' }
  | { readonly kind: 'command'; readonly name: string; readonly options: Options };

/** The command line makes no sense; exit code 2. */
export class UsageError extends Error {
  readonly kind = 'usage';

  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

const optionTypes = {
  config: { type: 'string', short: 'c' },
  json: { type: 'boolean' },
  upstream: { type: 'string' },
  url: { type: 'string' },
  ca: { type: 'string' },
  root: { type: 'string' },
  write: { type: 'boolean' },
  yes: { type: 'boolean', short: 'y' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} as const;

/** What runs when no command is named. */
export const defaultCommand = 'serve';

/** `argv` without node and script. Throws UsageError. */
export function parseCommandLine(argv: readonly string[], commands: readonly CommandSyntax[]): Invocation {
  // Not strict there, so that the messages and suggestions are ours.
  const { tokens } = parseArgs({
    args: [...argv],
    options: optionTypes,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const given = new Map<keyof typeof optionTypes, string | undefined>();
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind === 'option') {
      const name = knownOption(token.name, token.rawName);
      checkValue(name, token.rawName, token.value, token.inlineValue === true);
      if (given.has(name)) throw new UsageError(`${token.rawName} is given twice`);
      given.set(name, token.value);
    }
  }
  if (given.has('version')) return { kind: 'version' };
  if (words[0] === 'help') return help(words.slice(1), commands);
  if (given.has('help')) return help(words, commands);

  const { command, operands } = findCommand(words, commands);
  for (const name of given.keys()) {
    const isAllowed = command.options.some((option) => option === name);
    if (!isAllowed) throw new UsageError(`--${name} is not an option of weir ${command.name}`);
  }
  return {
    kind: 'command',
    name: command.name,
    options: {
      operands,
      config: given.get('config'),
      json: given.has('json'),
      upstream: given.get('upstream'),
      url: given.get('url'),
      ca: given.get('ca'),
      root: given.get('root'),
      write: given.has('write'),
      yes: given.has('yes'),
    },
  };
}

function knownOption(name: string, rawName: string): keyof typeof optionTypes {
  if (Object.hasOwn(optionTypes, name)) return name as keyof typeof optionTypes;
  const meant = closest(name, Object.keys(optionTypes));
  throw new UsageError(`unknown option ${rawName}${meant === undefined ? '' : `; did you mean --${meant}?`}`);
}

function checkValue(
  name: keyof typeof optionTypes,
  rawName: string,
  value: string | undefined,
  isInline: boolean,
): void {
  if (optionTypes[name].type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`);
  } else if (value === undefined || value === '' || (!isInline && value.startsWith('-'))) {
    throw new UsageError(`${rawName} needs a value`);
  }
}

function help(words: readonly string[], commands: readonly CommandSyntax[]): Invocation {
  if (words.length === 0) return { kind: 'help', command: undefined };
  const name = words.join(' ');
  const isGroup = commands.some((command) => command.name.startsWith(`${name} `));
  return { kind: 'help', command: isGroup ? name : findCommand(words, commands).command.name };
}

interface Found {
  readonly command: CommandSyntax;
  readonly operands: readonly string[];
}

function findCommand(words: readonly string[], commands: readonly CommandSyntax[]): Found {
  const name = words.length === 0 ? defaultCommand : words.join(' ');
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return { command: found, operands: [] };
  const [first = '', operand, extra] = words;
  const taker = commands.find((command) => command.operand !== undefined && command.name === first);
  if (taker !== undefined && operand !== undefined) {
    if (extra !== undefined)
      throw new UsageError(`weir ${first} takes one ${taker.operand ?? ''}, not "${extra}" as well`);
    return { command: taker, operands: [operand] };
  }
  const below = commands.filter((command) => command.name.startsWith(`${first} `)).map((command) => command.name);
  if (below.length > 0 && words.length === 1) throw new UsageError(`weir ${first} needs one of: ${below.join(', ')}`);
  if (commands.some((command) => command.name === first))
    throw new UsageError(`weir ${first} takes no "${words[1] ?? ''}"`);
  const meant = closest(
    name,
    commands.map((command) => command.name),
  );
  throw new UsageError(`unknown command "${name}"${meant === undefined ? '' : `; did you mean "${meant}"?`}`);
}
