/** The schema as a tree of keys: what the variables, the check for unknown keys and the generated reference walk over. */
import * as v from 'valibot';
import type { LeafNotes, Written } from './leaf.ts';

export type Node =
  | { readonly kind: 'group'; readonly entries: ReadonlyMap<string, Node>; readonly about: About }
  | { readonly kind: 'map'; readonly value: Node; readonly about: About }
  | { readonly kind: 'list'; readonly item: Node; readonly about: About }
  | { readonly kind: 'leaf'; readonly notes: LeafNotes; readonly about: About };

export interface About {
  readonly meaning: string;
  /** As it would be written; undefined where there is none. */
  readonly defaultValue: unknown;
  readonly isRequired: boolean;
}

export type Path = readonly string[];

/** `['cache', 'maxSize']` as people write it. */
export function pathText(path: Path): string {
  return path.join('.');
}

/** Reads a schema built from strict objects, records, arrays, `optional` and leaves; throws on anything else. */
export function treeOf(schema: v.GenericSchema): Node {
  if (schema.type !== 'optional') return nodeOf(schema, { isRequired: true, defaultValue: undefined });
  const { wrapped, default: defaultValue } = schema as unknown as { wrapped: v.GenericSchema; default: unknown };
  return nodeOf(wrapped, { isRequired: false, defaultValue });
}

function nodeOf(schema: v.GenericSchema, found: Pick<About, 'isRequired' | 'defaultValue'>): Node {
  const about = { ...found, meaning: v.getDescription(schema) ?? '' };
  switch (schema.type) {
    case 'strict_object': {
      const { entries } = schema as unknown as { entries: Readonly<Record<string, v.GenericSchema>> };
      const nodes = Object.entries(entries).map(([key, entry]) => [key, treeOf(entry)] as const);
      return { kind: 'group', entries: new Map(nodes), about };
    }
    case 'record': {
      const { value } = schema as unknown as { value: v.GenericSchema };
      return { kind: 'map', value: treeOf(value), about };
    }
    case 'array': {
      const { item } = schema as unknown as { item: v.GenericSchema };
      return { kind: 'list', item: treeOf(item), about };
    }
    case 'unknown': {
      const notes = v.getMetadata(schema)['x-weir'] as LeafNotes | undefined;
      if (notes !== undefined) return { kind: 'leaf', notes, about };
    }
  }
  throw new TypeError(`the schema has a ${schema.type} where a group, a map, a list or a leaf belongs`);
}

/** One key that a variable can set: every scalar that is not below a map. */
export interface VariableKey {
  /** `WEIR_CACHE_MAX_SIZE`. */
  readonly name: string;
  readonly path: Path;
  readonly written: Written;
}

export function variablesOf(node: Node, path: Path = []): VariableKey[] {
  switch (node.kind) {
    case 'group':
      return [...node.entries].flatMap(([key, entry]) => variablesOf(entry, [...path, key]));
    case 'leaf':
      return [{ name: variableName(path), path, written: node.notes.written }];
    case 'map':
    case 'list':
      return [];
  }
}

export function variableName(path: Path): string {
  const words = path.flatMap((key) => key.split(/(?=[A-Z])/));
  return ['WEIR', ...words].join('_').toUpperCase();
}
