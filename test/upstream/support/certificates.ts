/** A private CA and what it signs, made by openssl for one test and thrown away with its directory. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { TempDirectory } from '../../support/temp.ts';

const run = promisify(execFile);

export interface Signed {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export class TestAuthority {
  readonly caFile: string;
  readonly #temp: TempDirectory;
  readonly #keyFile: string;

  private constructor(temp: TempDirectory, name: string) {
    this.#temp = temp;
    this.caFile = temp.file(`${name}.crt`);
    this.#keyFile = temp.file(`${name}.key`);
  }

  static async create(temp: TempDirectory, name = 'ca'): Promise<TestAuthority> {
    const authority = new TestAuthority(temp, name);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', authority.#keyFile];
    await run('openssl', ['req', '-x509', ...key, '-days', '2', '-subj', `/CN=${name}`, '-out', authority.caFile]);
    return authority;
  }

  /** `names` as in a subjectAltName: `DNS:localhost`, `IP:127.0.0.1`. `days` below 0: expired. */
  async sign(subject: string, names: readonly string[], dates?: readonly string[]): Promise<Signed> {
    const at = (extension: string): string => this.#temp.file(`${subject}.${extension}`);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at('key')];
    await run('openssl', ['req', ...key, '-subj', `/CN=${subject}`, '-out', at('csr')]);
    await writeFile(at('ext'), names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`);
    const ca = ['-CA', this.caFile, '-CAkey', this.#keyFile, '-CAcreateserial', ...(dates ?? ['-days', '2'])];
    await run('openssl', ['x509', '-req', '-in', at('csr'), ...ca, '-extfile', at('ext'), '-out', at('crt')]);
    return {
      certFile: at('crt'),
      keyFile: at('key'),
      cert: await readFile(at('crt'), 'utf8'),
      key: await readFile(at('key'), 'utf8'),
    };
  }
}
