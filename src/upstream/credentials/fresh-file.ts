/** A small file with secrets in it, read when it is needed and again when it has changed: mounted secrets rotate. */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { CredentialError, errorCodeOf } from './credentials.ts';

const maxBytes = 1024 * 1024;

interface Read<T> {
  readonly stamp: string;
  readonly content: T;
}

export class FreshFile<T> {
  readonly path: string;
  readonly #parse: (text: string) => T;
  readonly #onChange: () => void;
  #last: Read<T> | undefined;
  #isLooked = false;
  #isDoubted = false;

  /** `parse` throws CredentialError `malformed`. `onChange`: a `read` has found something else than the one before. */
  constructor(path: string, parse: (text: string) => T, onChange: () => void = () => undefined) {
    this.path = path;
    this.#parse = parse;
    this.#onChange = onChange;
  }

  /** What the latest `read` found; `unknown` before the first one. Costs nothing. */
  get latest(): T | 'unknown' | undefined {
    return this.#isLooked ? this.#last?.content : 'unknown';
  }

  /**
   * The content; undefined where there is no such file. Rejects with CredentialError: `unreadable`, or what `parse`
   * throws. Costs one stat while nothing has changed.
   */
  async read(): Promise<T | undefined> {
    const found = await this.#stamp();
    const isOther = found !== this.#last?.stamp;
    if (isOther || this.#isDoubted) {
      this.#isDoubted = false;
      // The stamp is older than the content: a change in between is noticed by the next call.
      this.#last = found === undefined ? undefined : { stamp: found, content: this.#parse(await this.#text()) };
    }
    const isFirst = !this.#isLooked;
    this.#isLooked = true;
    if (isOther && !isFirst) this.#onChange();
    return this.#last?.content;
  }

  /** The next `read` reads, whatever the time stamp says: some file systems count whole seconds. */
  forget(): void {
    this.#isDoubted = true;
  }

  async #stamp(): Promise<string | undefined> {
    try {
      const { ino, size, mtimeNs } = await stat(this.path, { bigint: true });
      return `${ino} ${size} ${mtimeNs}`;
    } catch (error) {
      const code = errorCodeOf(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw this.#unreadable(code, error);
    }
  }

  async #text(): Promise<string> {
    try {
      // A FIFO in this place must not block the thread pool.
      await using file = await open(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
      const info = await file.stat();
      if (!info.isFile()) throw this.#unreadable('not a file');
      if (info.size > maxBytes) throw this.#unreadable(`more than ${maxBytes} bytes`);
      return await file.readFile('utf8');
    } catch (error) {
      throw error instanceof CredentialError ? error : this.#unreadable(errorCodeOf(error), error);
    }
  }

  #unreadable(why: string, cause?: unknown): CredentialError {
    return new CredentialError('unreadable', `cannot read ${this.path}: ${why}`, { cause });
  }
}
