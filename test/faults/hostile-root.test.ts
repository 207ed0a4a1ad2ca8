/** A root that somebody has prepared before weir starts on it: nothing outside of it is opened, emptied or removed. */
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { layoutMarker } from '../../src/oci/layout.ts';
import { tempDirectory } from '../support/temp.ts';
import { Daemon, freePort } from './support/daemon.ts';
import { runProgram } from './support/program.ts';

it.each([
  ['weir/ingest', 'documents'],
  ['weir/quarantine', 'documents'],
  ['weir/lock', 'passwd'],
  ['weir/catalog.db', 'passwd'],
  ['index.json', 'passwd'],
  ['blobs/sha256', 'documents'],
] as const)('a root with a link at %s is refused, by serve and by doctor', async (name, target) => {
  await using directory = await tempDirectory('weir-hostile');
  const root = join(directory.path, 'cache');
  const victim = join(directory.path, 'victim');
  for (const path of [join(root, 'weir'), join(root, 'blobs'), join(victim, 'documents')]) {
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(root, 'oci-layout'), layoutMarker);
  writeFileSync(join(victim, 'passwd'), 'root:x:0:0');
  const thesis = join(victim, 'documents', `sha256-${'0'.repeat(64)}.0123456789ab.json`);
  writeFileSync(thesis, 'irreplaceable');
  symlinkSync(join(victim, target), join(root, name));
  const config = join(directory.path, 'weir.yaml');
  const listen = `127.0.0.1:${await freePort()}`;
  writeFileSync(config, JSON.stringify({ listen, admin: { listen: '127.0.0.1:0' }, cache: { root } }));
  for (const command of ['serve', 'doctor']) {
    const { code, out, err } = await runProgram([command, '--config', config], { cwd: directory.path });
    expect(code, out + err).not.toBe(0);
    expect(out + err).toContain(`${name} is a symbolic link`);
  }
  expect(readFileSync(join(victim, 'passwd'), 'utf8')).toBe('root:x:0:0');
  expect(readFileSync(thesis, 'utf8')).toBe('irreplaceable');
  expect(readdirSync(join(victim, 'documents'))).toHaveLength(1);
});

it('other people’s files in a root stay, and the root may itself be named by a link', async () => {
  await using directory = await tempDirectory('weir-hostile');
  mkdirSync(join(directory.path, 'disk'));
  symlinkSync(join(directory.path, 'disk'), join(directory.path, 'cache'));
  await using weir = await Daemon.start({ directory: directory.path, upstreams: {} });
  await weir.stop();
  const foreign = ['a.tmp', 'index.json.tmp', 'weir/b.tmp', 'weir/ingest/notes'].map((name) => join(weir.root, name));
  for (const path of foreign) writeFileSync(path, 'irreplaceable');
  await weir.start();
  await weir.stop();
  for (const path of foreign) expect(readFileSync(path, 'utf8'), path).toBe('irreplaceable');
});
