/** Bootable images made of Debian's busybox: one alone, one that shares its layer, and one for several platforms. */
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '../process.ts';
import type { Workspace } from '../workspace.ts';
import { docker, ImageLayout, oci, sha256, type Layer } from './image-layout.ts';

/** Where an image says who it is; its command prints it. */
const identityFile = '/etc/weir-e2e';

export interface BuiltImage {
  readonly layout: string;
  /** What a container of it prints. */
  readonly says: string;
}

export interface Images {
  readonly busybox: BuiltImage;
  readonly shell: BuiltImage;
  readonly multi: BuiltImage;
}

/** Packs a directory as a layer that is the same bytes every time. */
export async function packLayer(directory: string, scratch: string): Promise<Layer> {
  const file = join(scratch, 'layer.tar');
  const stable = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  await run('tar', [...stable, '-C', directory, '-cf', file, '.']);
  const tar = readFileSync(file);
  return { bytes: gzipSync(tar, { level: 6 }), diffId: sha256(tar) };
}

async function filesLayer(workspace: Workspace, files: Readonly<Record<string, string>>): Promise<Layer> {
  const [tree, scratch] = [workspace.directory('tree'), workspace.directory('layer')];
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  }
  return packLayer(tree, scratch);
}

/** A root file system that a shell runs in: Debian's static busybox under the names of its usual applets. */
export async function busyboxLayer(workspace: Workspace, busybox: string, identity: string): Promise<Layer> {
  const [tree, scratch] = [workspace.directory('busybox'), workspace.directory('layer')];
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp']) mkdirSync(join(tree, name));
  copyFileSync(busybox, join(tree, 'bin/busybox'));
  for (const applet of ['sh', 'cat', 'ls', 'echo', 'sha256sum', 'wget']) {
    symlinkSync('busybox', join(tree, 'bin', applet));
  }
  writeFileSync(join(tree, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  writeFileSync(join(tree, identityFile), `${identity}\n`);
  return packLayer(tree, scratch);
}

const printFiles = (...files: readonly string[]): readonly string[] => ['/bin/sh', '-c', `cat ${files.join(' ')}`];

/** The images for one upstream; `identity` keeps their bytes apart from every other upstream's. */
export async function buildImages(workspace: Workspace, busybox: string, identity: string): Promise<Images> {
  const base = await busyboxLayer(workspace, busybox, `busybox ${identity}`);

  const one = new ImageLayout(workspace.directory('image-busybox'));
  const onlyBase = { layers: [base], command: printFiles(identityFile), architecture: 'amd64' };
  one.finish(one.addImage({ ...onlyBase, family: docker }));

  const second = await filesLayer(workspace, { '/etc/weir-e2e-second': `shell ${identity}\n` });
  const two = new ImageLayout(workspace.directory('image-shell'));
  const both = printFiles(identityFile, '/etc/weir-e2e-second');
  two.finish(two.addImage({ family: oci, layers: [base, second], command: both, architecture: 'amd64' }));

  const many = new ImageLayout(workspace.directory('image-multi'));
  const ofPlatform = async (architecture: string): Promise<Layer> =>
    filesLayer(workspace, { '/etc/weir-e2e-platform': `${architecture} ${identity}\n` });
  const platforms = [];
  for (const architecture of ['amd64', 'arm64', 'riscv64']) {
    const own = await ofPlatform(architecture);
    // Only amd64 can run here, so only it carries a busybox.
    const layers = architecture === 'amd64' ? [base, own] : [own];
    const command = printFiles('/etc/weir-e2e-platform');
    platforms.push(many.addImage({ family: oci, layers, command, architecture }));
  }
  many.finish(many.addIndex(oci, platforms));

  return {
    busybox: { layout: one.directory, says: `busybox ${identity}` },
    shell: { layout: two.directory, says: `busybox ${identity}\nshell ${identity}` },
    multi: { layout: many.directory, says: `amd64 ${identity}` },
  };
}
