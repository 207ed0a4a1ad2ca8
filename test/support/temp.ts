import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempDirectory extends AsyncDisposable {
  readonly path: string;
  /** A path inside. */
  file(...names: readonly string[]): string;
}

/** A new empty directory, deleted with all that is in it on disposal: `await using temp = await tempDirectory()`. */
export async function tempDirectory(label = 'test'): Promise<TempDirectory> {
  const path = await mkdtemp(join(tmpdir(), `weir-${label}-`));
  return {
    path,
    file: (...names) => join(path, ...names),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  };
}
