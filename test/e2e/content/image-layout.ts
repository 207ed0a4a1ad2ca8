/** A small writer of OCI image layouts: enough to build the suite's images without any program under test. */
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: Readonly<Record<string, string>>;
}

/** The media types of one family: weir must carry both, and clients treat them differently. */
export interface Family {
  readonly index: string;
  readonly manifest: string;
  readonly config: string;
  readonly layer: string;
}

export const oci: Family = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};

export const docker: Family = {
  index: 'application/vnd.docker.distribution.manifest.list.v2+json',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};

/** A layer as a registry stores it, and the digest of its uncompressed tar, which the image's config names. */
export interface Layer {
  readonly bytes: Buffer;
  readonly diffId: string;
}

export interface ImageParts {
  readonly family: Family;
  readonly layers: readonly Layer[];
  readonly command: readonly string[];
  readonly architecture: string;
  readonly environment?: readonly string[];
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export class ImageLayout {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
    writeFileSync(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  }

  addBlob(bytes: Uint8Array, mediaType: string): Descriptor {
    const digest = sha256(bytes);
    writeFileSync(join(this.directory, 'blobs', ...digest.split(':')), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** A file that may be too large for memory: it is hashed as it lies and linked into the layout. */
  async addFile(file: string, mediaType: string): Promise<Descriptor> {
    const digest = await hashFile(file);
    linkSync(file, join(this.directory, 'blobs', ...digest.split(':')));
    return { mediaType, digest, size: statSync(file).size };
  }

  addImage({ family, layers, command, architecture, environment = [] }: ImageParts): Descriptor {
    const config = this.addJson(family.config, {
      architecture,
      os: 'linux',
      config: { Cmd: command, Env: ['PATH=/bin:/usr/bin', ...environment] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map(() => ({ created_by: 'weir e2e' })),
    });
    const manifest = this.addJson(family.manifest, {
      schemaVersion: 2,
      mediaType: family.manifest,
      config,
      layers: layers.map(({ bytes }) => this.addBlob(bytes, family.layer)),
    });
    return { ...manifest, platform: { architecture, os: 'linux' } };
  }

  addIndex(family: Family, manifests: readonly Descriptor[]): Descriptor {
    return this.addJson(family.index, { schemaVersion: 2, mediaType: family.index, manifests });
  }

  /** Makes one manifest or index the layout's only entry point. */
  finish({ mediaType, digest, size }: Descriptor): void {
    const index = { schemaVersion: 2, mediaType: oci.index, manifests: [{ mediaType, digest, size }] };
    writeFileSync(join(this.directory, 'index.json'), JSON.stringify(index));
  }

  /** A manifest, an index or a configuration. */
  addJson(mediaType: string, document: object): Descriptor {
    return this.addBlob(Buffer.from(JSON.stringify(document, undefined, 2)), mediaType);
  }
}
