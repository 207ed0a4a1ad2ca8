/** A blob of the fake cache whose bytes lie in a file, and sendfile as the daemon has it. */
import { type FileHandle, open, truncate } from 'node:fs/promises';
import { Sendfile, type SendfileOptions } from '../../../src/http/body/sendfile.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { FakeBlob, type Source } from './fake-cache.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';

export class FileBlob implements AsyncDisposable {
  readonly blob: FakeBlob;
  readonly #temp: TempDirectory;
  readonly #handle: FileHandle;

  private constructor(blob: FakeBlob, temp: TempDirectory, handle: FileHandle) {
    this.blob = blob;
    this.#temp = temp;
    this.#handle = handle;
  }

  static async create(source: Source, isPending = false): Promise<FileBlob> {
    const temp = await tempDirectory('sendfile');
    const handle = await open(temp.file('blob'), 'wx+');
    const buffer = Buffer.alloc(1024 * 1024);
    for (let position = 0; position < source.sizeBytes; position += buffer.length) {
      const length = Math.min(buffer.length, source.sizeBytes - position);
      source.fill(buffer, 0, length, position);
      await handle.write(buffer, 0, length, position);
    }
    const blob = isPending ? FakeBlob.pending(source) : new FakeBlob(source);
    blob.fd = handle.fd;
    return new FileBlob(blob, temp, handle);
  }

  truncate(sizeBytes: number): Promise<void> {
    return truncate(this.#temp.file('blob'), sizeBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    await this.#temp[Symbol.asyncDispose]();
  }
}

/** Fails where it cannot be had: the tests run on Linux. */
export async function loadSendfile(options: Partial<SendfileOptions> = {}): Promise<Sendfile> {
  const loaded = await Sendfile.load({ logger: silentLogger, concurrency: 2, ...options });
  if (loaded === undefined) throw new Error('sendfile cannot be used here');
  return loaded;
}
