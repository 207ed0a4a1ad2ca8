/** C and C++ headers that a Go program includes and its module does not bring: a module's archive has no `vendor` in it. */
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from '../process.ts';
import type { Headers } from '../programs.ts';

/** Gathers them below `directory`, for one `-I`. Nothing is installed on the machine. */
export async function gatherHeaders({ debian, modules }: Headers, directory: string): Promise<void> {
  const [unpacked, included] = [join(directory, 'packages'), join(directory, 'include')];
  for (const path of [unpacked, included]) mkdirSync(path, { recursive: true });
  await run('apt-get', ['download', '-qq', ...debian], { cwd: unpacked, env: process.env });
  for (const file of readdirSync(unpacked).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg-deb', ['-x', file, 'files'], { cwd: unpacked });
  }
  cpSync(join(unpacked, 'files', 'usr', 'include'), included, { recursive: true });
  for (const { module, file, as } of modules) {
    const { stdout } = await run('go', ['mod', 'download', '-json', module], { env: process.env, cwd: directory });
    const { Dir: source } = JSON.parse(stdout) as { readonly Dir: string };
    if (!existsSync(join(source, file))) throw new Error(`no ${file} in ${module}`);
    mkdirSync(dirname(join(included, as)), { recursive: true });
    copyFileSync(join(source, file), join(included, as));
  }
}
