/**
 * The distribution-spec's conformance suite as a program: its settings, and its report read from standard output. Its exit
 * code says nothing: without pushes this version ends in a panic, after the report, when it writes a file with it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run } from './process.ts';
import { CheckError } from './report.ts';

export interface SuiteOptions {
  /** Holds what it writes. */
  readonly directory: string;
  /** `host:port` */
  readonly registry: string;
  readonly repository: string;
  /** Whether the referrers API is expected. */
  readonly hasReferrers: boolean;
  /** What is there to be read; absent, the suite pushes content of its own and leaves it there. */
  readonly readOnly?: SuiteContent;
}

export interface SuiteContent {
  readonly tags: readonly string[];
  /** Digests. */
  readonly manifests: readonly string[];
  readonly blobs: readonly string[];
}

export interface SuiteReport {
  /** Numbers of tests by result: `Pass`, `FAIL`, `Error`, `Skip`, `Disabled`, `Total`. */
  readonly counts: ReadonlyMap<string, number>;
  /** Results by API, as `Tag listing`: `Pass`. */
  readonly apis: ReadonlyMap<string, string>;
  /** Every line of a test that did not pass, with what it says. */
  readonly failures: readonly string[];
}

export async function runConformanceSuite(program: string, options: SuiteOptions): Promise<SuiteReport> {
  const { directory, registry, repository, hasReferrers, readOnly } = options;
  const env = cleanEnvironment({
    OCI_REGISTRY: registry,
    OCI_REPO1: repository,
    OCI_REPO2: `${repository}-other`,
    OCI_TLS: 'disabled',
    OCI_VERSION: '1.1',
    OCI_LOG: 'error',
    OCI_RESULTS_DIR: join(directory, 'results'),
    OCI_API_BLOBS_DELETE: 'false',
    OCI_API_MANIFESTS_DELETE: 'false',
    OCI_API_TAGS_DELETE: 'false',
    OCI_API_REFERRER: String(hasReferrers),
    // None of the registries here takes pushes of it.
    OCI_DATA_SHA512: 'false',
    ...(readOnly === undefined
      ? {}
      : {
          OCI_API_PUSH: 'false',
          OCI_RO_DATA_TAGS: readOnly.tags.join(' '),
          OCI_RO_DATA_MANIFESTS: readOnly.manifests.join(' '),
          OCI_RO_DATA_BLOBS: readOnly.blobs.join(' '),
          OCI_RO_DATA_REFERRERS: hasReferrers ? readOnly.manifests.join(' ') : '',
        }),
  });
  const shell = ['-c', '"$0" >report.txt 2>errors.txt; exit 0', program];
  await run('sh', shell, { cwd: directory, env, timeoutMs: 300_000 });
  const text = readFileSync(join(directory, 'report.txt'), 'utf8');
  if (!text.includes('API conformance:')) {
    throw new CheckError(`no report:\n${text.slice(-500)}${readFileSync(join(directory, 'errors.txt'), 'utf8')}`);
  }
  return parseReport(text);
}

export function parseReport(text: string): SuiteReport {
  const [tests = '', summary = ''] = text.split('\nConfiguration:\n');
  const pairs = [...summary.matchAll(/^ {2}(\w[^.\n]*?)\.+: +(\w+)$/gm)].map(
    ([, name = '', value = '']) => [name, value] as const,
  );
  return {
    counts: new Map(pairs.filter(([, value]) => /^\d+$/.test(value)).map(([name, value]) => [name, Number(value)])),
    apis: new Map(pairs.filter(([, value]) => !/^\d+$/.test(value))),
    failures: tests.split('\n').filter((line) => /: (?:FAIL|Error)$|^ *- /.test(line)),
  };
}
