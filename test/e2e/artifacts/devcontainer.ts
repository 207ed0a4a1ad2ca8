/** The Dev Container CLI: features and templates, found, resolved and downloaded. It speaks plain HTTP to `localhost`. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { run } from '../process.ts';
import { expectMatch, expectSame, homeIn, type Tool } from './tool.ts';

/**
 * The CLI's environment, with its list of withdrawn features in place: it fetches that from containers.dev unless it
 * has one of the last five minutes (0.89.0: `control-manifest.json` below `devcontainercli-USER` in the directory for
 * temporary files).
 */
function environment(directory: string): NodeJS.ProcessEnv {
  const folder = join(directory, `devcontainercli-${userInfo().username}`);
  mkdirSync(folder, { recursive: true });
  const nothing = JSON.stringify({ disallowedFeatures: [], featureAdvisories: [] });
  writeFileSync(join(folder, 'control-manifest.json'), nothing);
  return homeIn(directory, { TMPDIR: directory });
}

export const devcontainer: Tool = {
  name: 'devcontainer',
  programs: ['devcontainer'],
  upstreams: ['dist3.test', 'crane.test'],
  prepare: async ({ directory, upstream, path }) => {
    const call = async (own: string, ...args: readonly string[]): Promise<string> =>
      (await run(process.execPath, [path('devcontainer'), ...args], { cwd: own, env: environment(own) })).stdout;
    const feature = join(directory, 'features', 'hello');
    mkdirSync(feature, { recursive: true });
    const options = { greeting: { type: 'string', default: upstream.name } };
    writeFileSync(
      join(feature, 'devcontainer-feature.json'),
      JSON.stringify({ id: 'hello', version: '1.2.3', name: 'Hello', options }),
    );
    writeFileSync(join(feature, 'install.sh'), 'echo hello\n');
    const template = join(directory, 'templates', 'basic');
    mkdirSync(join(template, '.devcontainer'), { recursive: true });
    const described = { id: 'basic', version: '1.0.0', name: 'Basic' };
    writeFileSync(join(template, 'devcontainer-template.json'), JSON.stringify(described));
    writeFileSync(join(template, '.devcontainer', 'devcontainer.json'), JSON.stringify({ image: upstream.name }));

    const to = ['--registry', `localhost:${upstream.port}`, '--namespace'];
    const published = await call(directory, 'features', 'publish', 'features', ...to, 'lab/features');
    await call(directory, 'templates', 'publish', 'templates', ...to, 'lab/templates');
    const { hello } = JSON.parse(published) as { readonly hello: { readonly digest: string } };

    return async ({ weir, directory: own }) => {
      const base = `localhost:${weir.port}/${upstream.name}/lab`;
      const name = `${base}/features/hello`;
      const tags = await call(own, 'features', 'info', 'tags', `${name}:1`, '--output-format', 'json');
      const { publishedTags } = JSON.parse(tags) as { readonly publishedTags: readonly string[] };
      expectSame('features info tags', publishedTags.toSorted(), ['1', '1.2', '1.2.3', 'latest']);
      const manifest = await call(own, 'features', 'info', 'manifest', `${name}:1`);
      expectMatch('features info manifest', manifest, new RegExp(hello.digest));

      // A template is downloaded and unpacked.
      await call(own, 'templates', 'apply', '--workspace-folder', own, '--template-id', `${base}/templates/basic:1`);
      const file = join(own, '.devcontainer', 'devcontainer.json');
      expectSame('templates apply', JSON.parse(readFileSync(file, 'utf8')), { image: upstream.name });
      writeFileSync(file, JSON.stringify({ image: 'debian', features: { [`${name}:1`]: {} } }));
      const order = await call(own, 'features', 'resolve-dependencies', '--workspace-folder', own);
      expectMatch('features resolve-dependencies', order, new RegExp(`${name}@${hello.digest}`));
      const outdated = await call(own, 'outdated', '--workspace-folder', own, '--output-format', 'json');
      expectMatch('outdated', outdated, /"wanted":"1\.2\.3"/);
      // Downloads the feature too.
      const locked = await call(own, 'upgrade', '--workspace-folder', own, '--dry-run');
      expectSame('upgrade', JSON.parse(locked), {
        features: {
          [`${name}:1`]: { version: '1.2.3', resolved: `${name}@${hello.digest}`, integrity: hello.digest },
        },
      });
    };
  },
};
