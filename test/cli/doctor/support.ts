/** `weir doctor --json` of one upstream, over real sockets, with its findings by check. */
import { writeFile } from 'node:fs/promises';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import type { Machine } from '../../../src/cli/frame/machine.ts';
import { tempDirectory } from '../../support/temp.ts';
import { CommandLine } from '../support.ts';

export interface Checked {
  readonly code: number;
  readonly findings: readonly Finding[];
  /** All that was printed. */
  readonly text: string;
}

export interface DoctorOptions {
  /** Of the upstream: `url`, `auth`, `tls`. */
  readonly upstream?: object;
  readonly key?: string;
  readonly machine?: Partial<Machine>;
  readonly env?: Readonly<Record<string, string>>;
  /** Beside `upstreams`. */
  readonly config?: object;
}

export async function checkUpstream(options: DoctorOptions): Promise<Checked> {
  const { key = 'lab' } = options;
  return runDoctor(options, ['--upstream', key]);
}

export async function runDoctor(options: DoctorOptions, argv: readonly string[] = []): Promise<Checked> {
  await using temp = await tempDirectory('doctor');
  const { key = 'lab', upstream, machine, env, config } = options;
  const upstreams = upstream === undefined ? {} : { [key]: upstream };
  // JSON is YAML.
  const document = { builtinUpstreams: false, upstreams, cache: { root: temp.file('cache') }, ...config };
  await writeFile(temp.file('weir.yaml'), JSON.stringify(document));
  const line = new CommandLine({ ...(env && { env }), ...(machine && { machine }) });
  const code = await line.run('doctor', '--json', '--config', temp.file('weir.yaml'), ...argv);
  const objects = line.out
    .trimEnd()
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as Finding | { readonly summary: unknown });
  const findings = objects.filter((object): object is Finding => 'check' in object);
  return { code, findings, text: line.out + line.err };
}

/** `tls fail`, in order. */
export function verdicts({ findings }: Pick<Checked, 'findings'>): readonly string[] {
  return findings.map(({ check, level }) => `${check} ${level}`);
}
