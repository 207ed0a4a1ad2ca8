/** wkg, the WebAssembly package tool: components by reference, packages by name, dependencies of a WIT project. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { run } from '../process.ts';
import { expectSame, homeIn, type Tool } from './tool.ts';

const greet = `package weir:e2e@0.1.0;

interface greet {
  hello: func() -> string;
}
`;
const app = `package weir:app@0.1.0;

world app {
  import weir:e2e/greet@0.1.0;
}
`;

/** A namespace whose registry is a name that does not resolve, served by weir below its path. */
function configuration(upstream: string, weir: string): string {
  return `[namespace_registries.weir]
registry = "${upstream}"
[namespace_registries.weir.metadata]
preferredProtocol = "oci"
[namespace_registries.weir.metadata.oci]
registry = "${weir}"
namespacePrefix = "${upstream}/"
[registry."${upstream}".oci]
protocol = "http"
`;
}

export const wkg: Tool = {
  name: 'wkg',
  programs: ['wkg'],
  // crane's registry answers the end of an upload without Location, which wkg insists on.
  upstreams: ['dist3.test', 'dist2.test'],
  prepare: async ({ directory, upstream, path }) => {
    const options = { cwd: directory, env: homeIn(directory) };
    mkdirSync(join(directory, 'wit'));
    writeFileSync(join(directory, 'wit', 'greet.wit'), greet);
    await run(path('wkg'), ['build', '--output', 'e2e.wasm'], options);
    const target = `${upstream.host}/weir/e2e:0.1.0`;
    await run(path('wkg'), ['oci', 'push', '--insecure', upstream.host, target, 'e2e.wasm'], options);
    const pushed = await hashFile(join(directory, 'e2e.wasm'));
    return async ({ weir, base, directory: own, env }) => {
      const call = async (...args: readonly string[]): Promise<string> =>
        (await run(path('wkg'), args, { cwd: own, env })).stdout;
      await call('oci', 'pull', '--insecure', weir.host, `${base}/weir/e2e:0.1.0`, '--output', './pulled.wasm');
      expectSame('wkg oci pull', await hashFile(join(own, 'pulled.wasm')), pushed);
      writeFileSync(join(own, 'config.toml'), configuration(upstream.name, weir.host));
      // Without a version wkg takes the highest one in the list of tags; each command has a cache of its own.
      for (const [name, file] of [
        ['weir:e2e', 'latest.wasm'],
        ['weir:e2e@0.1.0', 'exact.wasm'],
      ] as const) {
        await call('get', '--config', 'config.toml', '--cache', `cache-${file}`, name, '--output', `./${file}`);
        expectSame(`wkg get ${name}`, await hashFile(join(own, file)), pushed);
      }
      mkdirSync(join(own, 'wit'));
      writeFileSync(join(own, 'wit', 'app.wit'), app);
      await call('build', '--config', 'config.toml', '--cache', 'cache-build', '--output', 'app.wasm');
    };
  },
};
