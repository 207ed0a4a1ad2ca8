/** The two documents of an OCI image layout (image-spec, image-layout.md): its marker file and its index. */
import { type Descriptor, parseDescriptor } from './descriptor.ts';
import { isJsonObject, listField, parseJson } from '../lib/json/json.ts';
import { mediaTypes } from './media-type.ts';

export const layoutFile = 'oci-layout';
export const layoutIndexFile = 'index.json';
export const layoutBlobsDirectory = 'blobs';
/** The exact content of `oci-layout`. */
export const layoutMarker = '{"imageLayoutVersion":"1.0.0"}';
/** Names an entry of the index; the value is a tag or, as containerd and skopeo also write it, a full reference. */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';

export interface LayoutEntry {
  readonly descriptor: Descriptor;
  readonly refName?: string;
}

/** The bytes of `index.json` for these entries, in this order. */
export function layoutIndex(entries: Iterable<LayoutEntry>): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode([...layoutIndexPieces(entries)].join(''));
}

/**
 * The text of `index.json` for these entries, in this order, in pieces of at most `entriesPerPiece`. Where there is none
 * (undefined) a piece ends, empty perhaps, so that whoever looked for it in vain can pause.
 */
export function* layoutIndexPieces(entries: Iterable<LayoutEntry | undefined>): Generator<string, void> {
  const head = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
  yield head.slice(0, -2);
  let piece: string[] = [];
  let separator = '';
  for (const entry of entries) {
    if (entry !== undefined) piece.push(JSON.stringify(indexEntry(entry)));
    if (entry !== undefined && piece.length < entriesPerPiece) continue;
    if (piece.length === 0) {
      yield '';
      continue;
    }
    yield `${separator}${piece.join(',')}`;
    separator = ',';
    piece = [];
  }
  if (piece.length > 0) yield `${separator}${piece.join(',')}`;
  yield ']}';
}

const entriesPerPiece = 100;

function indexEntry({ descriptor, refName }: LayoutEntry): Descriptor {
  const annotations = { ...descriptor.annotations, ...(refName === undefined ? {} : { [refNameAnnotation]: refName }) };
  return { ...descriptor, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) };
}

/** However many tags there are, weir itself has written them; what was put here is read once, before anything is served. */
const indexBounds = { depth: 32, fields: Infinity, items: Infinity };

/** The readable entries of an `index.json`, or undefined when it is no index at all. */
export function parseLayoutIndex(bytes: Uint8Array): readonly LayoutEntry[] | undefined {
  const document = parseJson(bytes, indexBounds);
  if (!isJsonObject(document) || !Array.isArray(document['manifests'])) return undefined;
  return listField(document, 'manifests').flatMap((value) => {
    const descriptor = parseDescriptor(value);
    if (descriptor === undefined) return [];
    const refName = descriptor.annotations?.[refNameAnnotation];
    return [refName === undefined ? { descriptor } : { descriptor, refName }];
  });
}

/** Whether these bytes are the marker file of a layout version that weir can read. */
export function isLayoutMarker(bytes: Uint8Array): boolean {
  const document = parseJson(bytes, { depth: 32 });
  return isJsonObject(document) && document['imageLayoutVersion'] === '1.0.0';
}
