/**
 * Writes config/weir.schema.json and docs/configuration.md from src/config/schema/schema.ts: `npm run schema`. A test fails
 * when they are stale.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toJsonSchema } from '@valibot/to-json-schema';
import { configSchema } from '../src/config/schema/schema.ts';
import { type Node, type Path, pathText, treeOf, variableName } from '../src/config/values/tree.ts';
import { defaultUrl } from '../src/config/read/upstreams.ts';
import { builtinUpstreams } from '../src/oci/known-registries.ts';

/** For editors: `# yaml-language-server: $schema=…`. */
export function jsonSchemaText(): string {
  const { $schema, ...schema } = toJsonSchema(configSchema, { typeMode: 'input', errorMode: 'throw' });
  const title = 'Configuration of weir';
  return `${JSON.stringify({ $schema, title, ...tidy(schema) }, undefined, 2)}\n`;
}

/** Drops what says nothing, and lets a group be empty: in YAML `admin:` with nothing behind it is null. */
function tidy(schema: object): Record<string, unknown> {
  const entries = Object.entries(schema).flatMap(([key, value]: [string, unknown]): [string, unknown][] => {
    if (key === 'properties' && isObject(value)) {
      return [
        [
          key,
          Object.fromEntries(Object.entries(value).map(([name, item]) => [name, isObject(item) ? tidy(item) : item])),
        ],
      ];
    }
    if (key === 'x-weir' || (key === 'required' && Array.isArray(value) && value.length === 0)) return [];
    if (key === 'default' && isObject(value)) return [];
    if (key === 'type' && value === 'object') return [[key, ['object', 'null']]];
    return [[key, isObject(value) ? tidy(value) : value]];
  });
  return Object.fromEntries(entries);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function referenceText(): string {
  const tree = treeOf(configSchema);
  if (tree.kind !== 'group') throw new TypeError('the configuration is a group of keys');
  const { upstreams, ...rest } = Object.fromEntries(tree.entries);
  if (upstreams?.kind !== 'map') throw new TypeError('upstreams is a map');
  const plain = Object.entries(rest).filter(([, node]) => node.kind !== 'group');
  const groups = Object.entries(rest).filter(([, node]) => node.kind === 'group');
  return [
    introduction,
    '## Keys',
    table(
      plain.flatMap(([key, node]) => rows(node, [key], true)),
      true,
    ),
    ...groups.flatMap(([key, node]) => [`### ${key}`, node.about.meaning, table(rows(node, [key], true), true)]),
    '## Upstreams',
    `${upstreams.about.meaning} ${upstreamRules}`,
    `Built in: ${builtinUpstreams.map((key) => (defaultUrl(key) === `https://${key}` ? `\`${key}\`` : `\`${key}\` (\`${defaultUrl(key)}\`)`)).join(', ')}.`,
    'Below `upstreams.<name>`; these have no variables:',
    table(rows(upstreams.value, [], false), false),
  ]
    .join('\n\n')
    .concat('\n');
}

interface Row {
  readonly key: string;
  readonly type: string;
  readonly defaultValue: string;
  readonly variable: string;
  readonly meaning: string;
}

/** `isTop`: paths count from the top, where a group has a heading of its own instead of a row. */
function rows(node: Node, path: Path, isTop: boolean): Row[] {
  switch (node.kind) {
    case 'group': {
      const below = [...node.entries].flatMap(([key, entry]) => rows(entry, [...path, key], isTop));
      const isHeading = path.length === (isTop ? 1 : 0);
      const own = { key: pathText(path), type: 'keys', defaultValue: '', variable: '', meaning: node.about.meaning };
      return isHeading ? below : [own, ...below];
    }
    case 'list':
      return [row(node, path, itemType(node.item), '')];
    case 'leaf':
      return [row(node, path, node.notes.type, `\`${variableName(path)}\``)];
    case 'map':
      throw new TypeError(`${pathText(path)}: a map inside a table`);
  }
}

function itemType(item: Node): string {
  return item.kind === 'leaf' ? `list of ${item.notes.type}` : 'list';
}

function row(node: Node, path: Path, type: string, variable: string): Row {
  const { isRequired, defaultValue, meaning } = node.about;
  const isNone = defaultValue === undefined || (Array.isArray(defaultValue) && defaultValue.length === 0);
  const shown = isRequired ? 'required' : isNone ? '' : `\`${JSON.stringify(defaultValue).replaceAll('"', '')}\``;
  return { key: pathText(path), type, defaultValue: shown, variable, meaning };
}

function table(all: readonly Row[], hasVariables: boolean): string {
  const cells = all.map(({ key, type, defaultValue, variable, meaning }) => [
    `\`${key}\``,
    type,
    defaultValue,
    ...(hasVariables ? [variable] : []),
    meaning,
  ]);
  const head = ['Key', 'Type', 'Default', ...(hasVariables ? ['Variable'] : []), 'Meaning'];
  const line = (row: readonly string[]): string => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...cells.map(line)].join('\n');
}

const introduction = `# Configuration

<!-- Written by \`npm run schema\` from src/config/schema/schema.ts. Change that file, not this one. -->

weir needs no configuration. What it has comes from three places, the later one winning:

1. the defaults below;
2. a YAML file, when one is named: \`weir --config FILE\`, or the variable \`WEIR_CONFIG\`. None is looked for otherwise;
3. variables: each single value outside lists and \`upstreams\` has one, its path in upper snake case:
   \`cache.maxSize\` is \`WEIR_CACHE_MAX_SIZE\`. An empty variable counts as not set.

\`WEIR_DEFAULT_UPSTREAM=https://mirror.example\` adds the upstream named by that host, or takes the one that is there, and
makes it the default. Unknown keys and unknown \`WEIR_*\` variables are errors, except \`WEIR_SERVICE_*\` and \`WEIR_PORT*\`,
which Kubernetes injects beside a Service named weir.

\`weir config check\` names every problem with its line; \`weir config show\` prints what is in effect and where each value
comes from. [config/weir.example.yaml](../config/weir.example.yaml) shows every key in use, and
[config/weir.schema.json](../config/weir.schema.json) lets an editor complete and check them.

## Values

- **size**: bytes as a number, or with a unit: \`kB\`, \`MB\`, \`GB\`, \`TB\` are powers of 1000, \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\` of 1024.
  \`10G\` is refused because it means one to some and the other to others.
- **duration**: a whole number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`.
- **path**: relative ones count from the working directory of weir, wherever they are written; \`~/\` is the home.
- **host:port**: \`127.0.0.1:5000\`, \`[::1]:5000\`; \`0.0.0.0:5000\` or \`:5000\` is every address, port 0 any free port.
- **secrets** are never values: write the path of a file, which is read when it is needed, or the name of a variable.

The proxies in \`HTTP_PROXY\`, \`HTTPS_PROXY\` and \`NO_PROXY\` (or the same in lower case) are used for upstreams unless their
\`proxy\` says otherwise.`;

const upstreamRules =
  'Nothing that a client sends makes weir ask a host that is not named here or built in. An upstream whose name has a port, `host:5000`, is also reached as `host-5000`. A name of one part is always a repository of the default upstream. A first part with a dot that is no upstream’s name (`llama.cpp/server`) goes to the default upstream as well, unless that is Docker Hub, whose names have none; what names a well-known registry, has a port or is `localhost` never does. Names of repositories may have capitals, and those that differ in case are different.';

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  writeFileSync(join(root, 'config/weir.schema.json'), jsonSchemaText());
  writeFileSync(join(root, 'docs/configuration.md'), referenceText());
}
