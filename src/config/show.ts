/** The configuration in effect, as YAML that could be a configuration file, each value with where it comes from. */
import { Document, Scalar, YAMLSeq } from 'yaml';
import { maskUserInfo } from './schema/addresses.ts';
import { isPlain } from './schema/known-keys.ts';
import { configTree, type Loaded } from './load.ts';
import { formatOrigin, type Origin } from './read/problem.ts';
import type { Node, Path } from './values/tree.ts';

type LoadedConfig = Extract<Loaded, { readonly kind: 'config' }>;

export interface ShownValue {
  readonly path: Path;
  /** A scalar or a list of them, as it would be written. */
  readonly value: unknown;
  readonly origin: Origin;
}

/** Every key in effect. Of an upstream: its URL, whether it is the default, and what was written. */
export function valuesInEffect({ config, written, originOf }: LoadedConfig): ShownValue[] {
  const shown = below(configTree, written, []);
  const upstreams = config.upstreams.flatMap((upstream): ShownValue[] => {
    const path = ['upstreams', upstream.key];
    const own = shown.filter(({ path: at }) => at[0] === 'upstreams' && at[1] === upstream.key);
    const rest = own.filter(({ path: [, , leaf] }) => leaf !== 'url' && leaf !== 'default');
    const urlAt = [...path, 'url'];
    const defaultAt = [...path, 'default'];
    const isDefaultWritten = own.some(({ path: [, , leaf] }) => leaf === 'default');
    return [
      { path: urlAt, value: upstream.endpoints[0], origin: originIn(own, urlAt) ?? computed(originOf(path)) },
      ...(upstream.isDefault || isDefaultWritten
        ? [{ path: defaultAt, value: upstream.isDefault, origin: originIn(own, defaultAt) ?? computed(originOf(path)) }]
        : []),
      ...rest,
    ];
  });
  return [...shown.filter(({ path: [room] }) => room !== 'upstreams'), ...upstreams];

  function below(node: Node, value: unknown, path: Path): ShownValue[] {
    if (node.kind === 'map') {
      const entries = isPlain(value) ? Object.entries(value) : [];
      return entries.flatMap(([key, item]) => below(node.value, item, [...path, key]));
    }
    if (node.kind === 'group') {
      const group = isPlain(value) ? value : {};
      return [...node.entries].flatMap(([key, entry]) => below(entry, group[key], [...path, key]));
    }
    const isWritten = value !== undefined && !(node.kind === 'list' && Array.isArray(value) && value.length === 0);
    if (isWritten) return [{ path, value: masked(value), origin: originOf(path) }];
    const { defaultValue } = node.about;
    const isShown = path[0] !== 'upstreams' && defaultValue !== undefined;
    return isShown ? [{ path, value: defaultValue, origin: { kind: 'default' } }] : [];
  }
}

/** A value that follows from the upstream being there at all. */
function computed(origin: Origin): Origin {
  return origin.kind === 'builtin' ? origin : { kind: 'default' };
}

function originIn(shown: readonly ShownValue[], path: Path): Origin | undefined {
  return shown.find(({ path: at }) => at.at(-1) === path.at(-1) && at.length === path.length)?.origin;
}

function masked(value: unknown): unknown {
  if (typeof value === 'string') return maskUserInfo(value);
  return Array.isArray(value) ? value.map(masked) : value;
}

/** As YAML with a comment behind each value. */
export function showYaml(loaded: LoadedConfig): string {
  const document = new Document({});
  for (const { path, value, origin } of valuesInEffect(loaded)) {
    const node = document.createNode(value, { flow: true });
    if (node instanceof Scalar || node instanceof YAMLSeq) node.comment = ` ${formatOrigin(origin)}`;
    document.setIn(path, node);
  }
  const { http, https, noProxy } = loaded.config.proxy;
  const proxies = [
    http === undefined ? '' : ` HTTP_PROXY=${maskUserInfo(http.reveal())}`,
    https === undefined ? '' : ` HTTPS_PROXY=${maskUserInfo(https.reveal())}`,
    noProxy.length === 0 ? '' : ` NO_PROXY=${noProxy.join(',')}`,
  ].filter((line) => line !== '');
  if (proxies.length > 0) document.comment = ` From the environment:\n${proxies.join('\n')}`;
  return document.toString({ lineWidth: 0 });
}

/** As nested plain values, for `--json`. */
export function showPlain(loaded: LoadedConfig): Record<string, unknown> {
  const document = new Document({});
  for (const { path, value } of valuesInEffect(loaded)) document.setIn(path, document.createNode(value));
  return document.toJS() as Record<string, unknown>;
}
