/** Starting a thread from a file beside the one that starts it, in the source and in what is built from it. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** `here`: the `import.meta.url` of whoever starts it; `name`: the file's, without its extension. */
export function startThread(here: string, name: string, options?: WorkerOptions): Worker {
  const extension = here.endsWith('.ts') ? 'ts' : 'js';
  return new Worker(new URL(`./${name}.${extension}`, here), options);
}
