/** Fills an upstream by pushing with real clients, and says what is in it. */
import { join } from 'node:path';
import { directPull, type DirectPull } from '../direct-pull.ts';
import { run } from '../process.ts';
import type { Tools } from '../tools.ts';
import type { Upstream } from '../upstreams.ts';
import type { Workspace } from '../workspace.ts';
import { makeFiles, type Files } from './artifacts.ts';
import { buildImages, type BuiltImage, type Images } from './images.ts';
import { writeNoiseFile } from './model-files.ts';

export type ArtifactKind = 'image' | 'index' | 'chart' | 'artifact' | 'referrers' | 'large';

export interface Artifact {
  /** Short, for the matrix. */
  readonly name: string;
  readonly kind: ArtifactKind;
  readonly repository: string;
  readonly tag: string;
  readonly direct: DirectPull;
  /** What a container of it prints; only images. */
  readonly says?: string;
}

export const modelType = 'application/vnd.weir-e2e.model.v1';
export const signatureType = 'application/vnd.weir-e2e.signature.v1+json';
export const sbomType = 'application/spdx+json';

const largeSizeBytes = 1024 ** 3;

/** What is pushed to one upstream; made once, pushed again whenever a registry that keeps nothing was restarted. */
export class Content {
  readonly #tools: Tools;
  readonly #images: Images;
  readonly #files: Files;
  readonly #largeFile: string | undefined;

  private constructor(tools: Tools, images: Images, files: Files, largeFile: string | undefined) {
    this.#tools = tools;
    this.#images = images;
    this.#files = files;
    this.#largeFile = largeFile;
  }

  /** `identity` goes into every piece: no two upstreams share a digest, so each transfer has one possible origin. */
  static async make(tools: Tools, workspace: Workspace, identity: string, hasLarge: boolean): Promise<Content> {
    const images = await buildImages(workspace, tools.busybox, identity);
    const files = await makeFiles(tools, workspace, identity);
    if (!hasLarge) return new Content(tools, images, files, undefined);
    const largeFile = join(workspace.directory('large'), 'large.bin');
    writeNoiseFile(largeFile, largeSizeBytes);
    return new Content(tools, images, files, largeFile);
  }

  async push(upstream: Upstream): Promise<void> {
    const at = (name: string): string => `${upstream.host}/${name}`;
    const image = async (name: string, { layout }: BuiltImage): Promise<void> => {
      await run(this.#tools.crane, ['push', layout, at(name)]);
    };
    await image('library/busybox:1', this.#images.busybox);
    await image('library/shell:1', this.#images.shell);
    await image('library/multi:1', this.#images.multi);
    await run(this.#tools.helm, ['push', this.#files.chart, `oci://${at('charts')}`, '--plain-http']);
    await this.#oras(at('lab/wasm:1'), `${this.#files.wasm}=application/wasm`, [
      '-config-type=application/vnd.wasm.config.v0+json',
    ]);
    const model = await this.#oras(at('lab/model:1'), `${this.#files.model}=application/octet-stream`, [
      `-artifact-type=${modelType}`,
    ]);
    for (const [type, file] of [
      [signatureType, this.#files.signature] as const,
      [sbomType, this.#files.sbom] as const,
    ]) {
      // The config has the type as well: crane's registry takes the artifactType of a referrer from there.
      const types = [`-artifact-type=${type}`, `-config-type=${type}`];
      await this.#oras(at('lab/model'), `${file}=application/json`, [...types, `-subject=${model}`]);
    }
    if (this.#largeFile !== undefined) {
      await this.#oras(at('lab/large:1'), `${this.#largeFile}=application/octet-stream`, [
        `-artifact-type=${modelType}`,
      ]);
    }
  }

  /** Pulls everything directly from the upstream; what comes through weir must be the same. */
  async describe(upstream: Upstream): Promise<readonly Artifact[]> {
    const one = async (name: string, kind: ArtifactKind, repository: string, tag = '1'): Promise<Artifact> => ({
      name,
      kind,
      repository,
      tag,
      direct: await directPull(upstream, repository, tag),
    });
    const { busybox, shell, multi } = this.#images;
    const artifacts = [
      { ...(await one('busybox', 'image', 'library/busybox')), says: busybox.says },
      { ...(await one('shell', 'image', 'library/shell')), says: shell.says },
      { ...(await one('multi', 'index', 'library/multi')), says: multi.says },
      await one('chart', 'chart', 'charts/weir-e2e', '0.1.0'),
      await one('wasm', 'artifact', 'lab/wasm'),
      await one('model', 'artifact', 'lab/model'),
      await one('referrers', 'referrers', 'lab/model'),
    ];
    return this.#largeFile === undefined ? artifacts : [...artifacts, await one('1 GiB', 'large', 'lab/large')];
  }

  async #oras(reference: string, file: string, flags: readonly string[]): Promise<string> {
    const { stdout } = await run(this.#tools.orasClient, ['push', ...flags, reference, file]);
    return (JSON.parse(stdout) as { readonly digest: string }).digest;
  }
}
