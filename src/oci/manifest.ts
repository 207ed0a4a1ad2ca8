/**
 * What a manifest says, read once from its exact bytes. The bytes themselves are never rewritten: these facts serve
 * look-ups, never answers.
 */
import { setImmediate } from 'node:timers/promises';
import { type Descriptor, parseDescriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import { field, isJsonObject, type JsonObject, jsonExcess, listField, textField } from '../lib/json/json.ts';
import { type DocumentShape, isIndexType, isManifestType } from './media-type.ts';

/** 4 MiB: what registries must accept at least, and what containerd, distribution and oras read at most. */
export const maxManifestBytes = 4 * 1024 * 1024;
export const maxManifestDepth = 32;
/** Descriptors in one document. 4 MiB hold about twice as many of the shortest ones. */
export const maxManifestEntries = 16_384;

export interface ManifestFacts {
  /** `index` when it lists manifests, `manifest` when it has config or layers, `other` for any other JSON object. */
  readonly kind: 'manifest' | 'index' | 'other';
  /** What its fields say, whatever it calls itself. */
  readonly shape: DocumentShape;
  /** Of schema 1, with signatures. */
  readonly isSigned?: true;
  /** As the document itself claims. */
  readonly mediaType?: string;
  readonly artifactType?: string;
  /** The listed manifests, in order. */
  readonly children: readonly Descriptor[];
  /** Config first, then layers (or the blobs of an artifact manifest), in order. */
  readonly blobs: readonly Descriptor[];
  readonly config?: Descriptor;
  readonly subject?: Descriptor;
  /** It is nothing else and lists errors, as registries do when they refuse (distribution-spec, "Error Codes"). */
  readonly isError?: true;
  /** Entries that are no usable descriptors, an unverifiable digest algorithm for example. They are left out above. */
  readonly unreadable: number;
}

export interface ManifestProblem {
  readonly kind: 'invalid';
  readonly problem: 'too-large' | 'too-deep' | 'not-json' | 'not-an-object' | 'too-many-entries';
  readonly message: string;
}

/** Longer ones are read in steps where clients wait for this thread: those that are made to be dear take a tenth of a second. */
export const stepBytes = 256 * 1024;

/** Never throws, whatever the bytes are. */
export function readManifest(bytes: Uint8Array): ManifestFacts | ManifestProblem {
  const steps = stepsOf(bytes);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/** The same, and `pause` lets others have their turn between the steps of a long one. */
export async function readManifestInSteps(
  bytes: Uint8Array,
  pause: () => Promise<unknown> = () => setImmediate(),
): Promise<ManifestFacts | ManifestProblem> {
  const steps = stepsOf(bytes);
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) if (bytes.byteLength > stepBytes) await pause();
  return step.value;
}

function* stepsOf(bytes: Uint8Array): Generator<void, ManifestFacts | ManifestProblem> {
  if (bytes.byteLength > maxManifestBytes) {
    return invalid('too-large', `the manifest has ${bytes.byteLength} bytes, ${maxManifestBytes} are allowed`);
  }
  const excess = jsonExcess(bytes, { depth: maxManifestDepth });
  if (excess === 'depth') return invalid('too-deep', `the manifest is nested deeper than ${maxManifestDepth} levels`);
  if (excess === 'size') return invalid('too-many-entries', 'the manifest has more fields or items than are allowed');
  yield;
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    return invalid('not-json', `the manifest is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isJsonObject(document)) return invalid('not-an-object', 'the manifest is not a JSON object');
  yield;
  return factsOf(document);
}

/** Everything that a document names: blobs and manifests. Nothing for what is no manifest. */
export function edgesOf(facts: ManifestFacts | ManifestProblem): readonly Digest[] {
  if (facts.kind === 'invalid') return [];
  return [...facts.blobs, ...facts.children].map(({ digest }) => digest);
}

function factsOf(document: JsonObject): ManifestFacts | ManifestProblem {
  const mediaType = textField(document, 'mediaType');
  const artifactType = textField(document, 'artifactType');
  const manifests = listField(document, 'manifests');
  const layers = [...listField(document, 'layers'), ...listField(document, 'blobs')];
  const entries = manifests.length + layers.length;
  if (entries > maxManifestEntries) {
    return invalid('too-many-entries', `the manifest has ${entries} entries, ${maxManifestEntries} are allowed`);
  }
  let unreadable = 0;
  const read = (value: unknown): Descriptor[] => {
    const descriptor = parseDescriptor(value);
    if (descriptor === undefined) unreadable++;
    return descriptor === undefined ? [] : [descriptor];
  };
  const optional = (name: string): Descriptor | undefined => {
    const value = field(document, name);
    return value === undefined || value === null ? undefined : read(value)[0];
  };
  const config = optional('config');
  const subject = optional('subject');
  const children = manifests.flatMap(read);
  const blobs = [...(config === undefined ? [] : [config]), ...layers.flatMap(read)];
  const shape = shapeOf(document);
  const kind = kindOf(shape, mediaType);
  return {
    kind,
    shape,
    ...(shape === 'schema1' && listField(document, 'signatures').length > 0 ? { isSigned: true } : {}),
    ...(mediaType === undefined ? {} : { mediaType }),
    ...(artifactType === undefined ? {} : { artifactType }),
    children,
    blobs,
    ...(config === undefined ? {} : { config }),
    ...(subject === undefined ? {} : { subject }),
    ...(kind === 'other' && listField(document, 'errors').length > 0 ? { isError: true } : {}),
    unreadable,
  };
}

/** The document's own word first: an index without entries and a manifest without layers are legal (image-spec 1.1). */
function kindOf(shape: DocumentShape, mediaType: string | undefined): ManifestFacts['kind'] {
  if (mediaType !== undefined && isManifestType(mediaType)) return isIndexType(mediaType) ? 'index' : 'manifest';
  if (shape === 'mixed') return 'index';
  return shape === 'index' || shape === 'manifest' ? shape : 'other';
}

function shapeOf(document: JsonObject): DocumentShape {
  const config = field(document, 'config');
  const isManifest =
    Array.isArray(field(document, 'layers')) || (isJsonObject(config) && textField(config, 'digest') !== undefined);
  if (Array.isArray(field(document, 'manifests'))) return isManifest ? 'mixed' : 'index';
  if (isManifest) return 'manifest';
  return field(document, 'schemaVersion') === 1 && Array.isArray(field(document, 'fsLayers')) ? 'schema1' : 'none';
}

function invalid(problem: ManifestProblem['problem'], message: string): ManifestProblem {
  return { kind: 'invalid', problem, message };
}
