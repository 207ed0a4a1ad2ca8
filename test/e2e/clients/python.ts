/** Programs that are packages of Python: each has a directory that Python is told to look in. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run } from '../process.ts';
import { hashFile } from './client.ts';

/** Runs a script of ours and answers its standard output. */
export async function python(
  packages: string,
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const environment = cleanEnvironment({ PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1', ...env });
  const { stdout } = await run('/usr/bin/env', ['python3', '-c', script, ...args], { env: environment });
  return stdout;
}

const pullScript = `
import sys, oras.client
oras.client.OrasClient(insecure=True).pull(target=sys.argv[1], outdir=sys.argv[2])
`;

/** Pulls an artifact with oras-py and answers the digests of the files it wrote, hashed by us. */
export async function pullWithOrasPython(
  packages: string,
  reference: string,
  directory: string,
): Promise<readonly string[]> {
  await python(packages, pullScript, [reference, directory], { HOME: directory });
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Promise.all(files.map(({ parentPath, name }) => hashFile(join(parentPath, name))));
}

const windowsScript = `
import json, sys, rasterio
from rasterio.windows import Window
with rasterio.open('/vsicurl/' + sys.argv[1]) as scene:
    windows = [scene.read(1, window=Window(*window)).tolist() for window in json.loads(sys.argv[2])]
    print(json.dumps({'crs': scene.crs.to_string(), 'width': scene.width, 'windows': windows}))
`;

/** Column, row, width and height. */
export type PixelWindow = readonly [number, number, number, number];

export interface Seen {
  readonly crs: string;
  readonly width: number;
  /** Rows of pixels of each window. */
  readonly windows: readonly (readonly (readonly number[])[])[];
}

/** Opens a picture over HTTP with GDAL and reads some windows of it. */
export async function readWithGdal(packages: string, url: string, windows: readonly PixelWindow[]): Promise<Seen> {
  const env = { GDAL_DISABLE_READDIR_ON_OPEN: 'EMPTY_DIR' };
  return JSON.parse(await python(packages, windowsScript, [url, JSON.stringify(windows)], env)) as Seen;
}
