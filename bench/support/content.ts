/** What the upstream holds: repositories of one image each, as the files nginx serves. */
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, renameSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Blob {
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface Image {
  readonly repository: string;
  readonly tag: string;
  readonly manifestDigest: string;
  readonly manifestBytes: number;
  readonly layers: readonly Blob[];
}

/** The first path segment of every repository. */
export const namespace = 'bench';

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar';
const pieceBytes = 1024 * 1024;

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Pseudo-random bytes, the same for the same seed: the key stream of AES, which is faster than the disk. */
function* randomPieces(seed: string, sizeBytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(pieceBytes);
  for (let left = sizeBytes; left > 0; left -= pieceBytes) {
    yield cipher.update(left < pieceBytes ? zeros.subarray(0, left) : zeros);
  }
}

/** The hash of a span of what `randomPieces` yields. */
export function hashOfSpan(seed: string, sizeBytes: number, offset: number, length: number): string {
  const hash = createHash('sha256');
  let at = 0;
  for (const piece of randomPieces(seed, sizeBytes)) {
    const [from, to] = [Math.max(offset - at, 0), Math.min(offset + length - at, piece.length)];
    if (from < to) hash.update(piece.subarray(from, to));
    at += piece.length;
    if (at >= offset + length) break;
  }
  return hash.digest('hex');
}

export class Content {
  /** The document root. */
  readonly root: string;
  /** Digests of tags, by path: what a static server cannot compute. */
  readonly tagDigests = new Map<string, string>();
  readonly #images = new Map<string, Image>();

  constructor(root: string) {
    this.root = root;
    mkdirSync(root, { recursive: true });
  }

  /**
   * The image of this name, of random layers of these sizes; made when it is first asked for. The seed of a layer is
   * `name#index`.
   */
  image(name: string, layerBytes: readonly number[]): Image {
    const known = this.#images.get(name);
    if (known !== undefined) return known;
    const repository = `${namespace}/${name}`;
    const directory = join(this.root, 'v2', repository);
    for (const part of ['blobs', 'manifests']) mkdirSync(join(directory, part), { recursive: true });
    // For caches that take the first segment for a name of their own and ask the upstream for the rest.
    symlinkSync(join(namespace, name), join(this.root, 'v2', name));
    const layers = layerBytes.map((sizeBytes, index) =>
      this.#writeRandom(join(directory, 'blobs'), `${name}#${index}`, sizeBytes),
    );
    const manifest = this.#writeConfig(join(directory, 'blobs'), layers);
    const manifestDigest = sha256(manifest);
    const tag = 'v1';
    for (const reference of [tag, manifestDigest]) writeFileSync(join(directory, 'manifests', reference), manifest);
    for (const path of [repository, name]) this.tagDigests.set(`/v2/${path}/manifests/${tag}`, manifestDigest);
    const image = { repository, tag, manifestDigest, manifestBytes: manifest.length, layers };
    this.#images.set(name, image);
    return image;
  }

  /** Writes the config of an image and answers the manifest. */
  #writeConfig(directory: string, layers: readonly Blob[]): string {
    const diffIds = layers.map(({ digest }) => digest);
    const config = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: diffIds },
    });
    const digest = sha256(config);
    writeFileSync(join(directory, digest), config);
    return JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: configType, digest, size: config.length },
      layers: layers.map((layer) => ({ mediaType: layerType, digest: layer.digest, size: layer.sizeBytes })),
    });
  }

  #writeRandom(directory: string, seed: string, sizeBytes: number): Blob {
    const hash = createHash('sha256');
    const unnamed = join(directory, 'unnamed');
    const file = openSync(unnamed, 'w');
    for (const piece of randomPieces(seed, sizeBytes)) {
      hash.update(piece);
      writeSync(file, piece);
    }
    closeSync(file);
    const digest = `sha256:${hash.digest('hex')}`;
    renameSync(unnamed, join(directory, digest));
    return { digest, sizeBytes };
  }
}

export function manifestPath({ repository, tag }: Image): string {
  return `/v2/${repository}/manifests/${tag}`;
}

export function manifestDigestPath({ repository, manifestDigest }: Image): string {
  return `/v2/${repository}/manifests/${manifestDigest}`;
}

/** The only layer of an image that has one. */
export function blobOf({ layers, repository }: Image, index = 0): Blob {
  const layer = layers[index];
  if (layer === undefined) throw new Error(`${repository} has no layer ${index}`);
  return layer;
}

export function blobPath(image: Image, index = 0): string {
  return `/v2/${image.repository}/blobs/${blobOf(image, index).digest}`;
}
