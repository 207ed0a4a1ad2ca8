/**
 * The distribution-spec's own conformance suite: its content is pushed to a registry, and its read-only part runs against
 * weir in front of it, cold and warm. What it does not compare is compared here: each answer with the registry's own.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { runConformanceSuite, type SuiteContent, type SuiteReport } from '../conformance-suite.ts';
import { CheckError } from '../report.ts';
import { contentTransfers, describeRequest } from '../request-log.ts';
import { revive, withWeir, type Seeded, type Stage } from '../stage.ts';

const repository = 'conformance/repo1';
const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';

/** Results that a registry must have that is only read. */
const apis = [
  'Ping',
  'Tag listing',
  'Blob get',
  'Blob head',
  'Manifest get by digest',
  'Manifest get by tag',
  'Manifest head by digest',
  'Manifest head by tag',
];

interface Document {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

/** Everything below the tags of the repository that is there. */
async function contentAt(host: string): Promise<SuiteContent> {
  const base = `http://${host}/v2/${repository}`;
  const manifests = new Set<string>();
  const blobs = new Set<string>();
  const walk = async (reference: string): Promise<void> => {
    const response = await fetch(`${base}/manifests/${reference}`, { headers: { accept } });
    if (response.status === 404) return;
    if (!response.ok) throw new CheckError(`${base}/manifests/${reference}: ${response.status}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (manifests.has(digest)) return;
    manifests.add(digest);
    const { config, layers = [], manifests: children = [] } = JSON.parse(bytes.toString()) as Document;
    for (const child of children) await walk(child.digest);
    for (const { digest: blob } of [...(config === undefined ? [] : [config]), ...layers]) {
      // Layers that may not be distributed were never pushed.
      if (blob.startsWith('sha256:') && (await fetch(`${base}/blobs/${blob}`, { method: 'HEAD' })).ok) blobs.add(blob);
    }
  };
  const listed = (await (await fetch(`${base}/tags/list`)).json()) as { readonly tags: readonly string[] };
  for (const tag of listed.tags) await walk(tag);
  return { tags: listed.tags, manifests: [...manifests], blobs: [...blobs] };
}

async function seen(url: string, method: string): Promise<string> {
  const response = await fetch(url, { method, headers: { accept } });
  const hash = createHash('sha256').update(Buffer.from(await response.arrayBuffer()));
  const described = ['content-length', 'docker-content-digest'].map((name) => response.headers.get(name) ?? '-');
  const type = url.includes('/manifests/') ? (response.headers.get('content-type') ?? '-') : '';
  return [response.status, type, ...described, hash.digest('hex')].join(' ');
}

interface Entry {
  readonly digest: string;
}

/** What refers to a manifest, by digest. */
async function referrersOf(url: string): Promise<readonly Entry[]> {
  const response = await fetch(url);
  if (!response.ok) throw new CheckError(`${url}: ${response.status}`);
  const { manifests } = (await response.json()) as { readonly manifests: readonly Entry[] };
  return manifests.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** Answers how many referrers there are. */
async function compareReferrers({ manifests }: SuiteContent, direct: string, through: string): Promise<number> {
  let count = 0;
  for (const digest of manifests) {
    const place = `referrers/${digest}`;
    const [one, other] = [await referrersOf(`${direct}/${place}`), await referrersOf(`${through}/${place}`)];
    if (!isDeepStrictEqual(one, other)) {
      throw new CheckError(`${place}: ${JSON.stringify(one)} became ${JSON.stringify(other)}`);
    }
    count += one.length;
  }
  if (count === 0) throw new CheckError('nothing refers to anything');
  return count;
}

/** Answers how many were compared. */
async function compare({ tags, manifests, blobs }: SuiteContent, direct: string, through: string): Promise<number> {
  const places = [
    ...[...tags, ...manifests].map((reference) => `manifests/${reference}`),
    ...blobs.map((digest) => `blobs/${digest}`),
  ];
  const differences: string[] = [];
  for (const place of places) {
    for (const method of ['HEAD', 'GET']) {
      const [one, other] = [await seen(`${direct}/${place}`, method), await seen(`${through}/${place}`, method)];
      if (one !== other) differences.push(`${method} ${place}: ${one} became ${other}`);
    }
  }
  if (differences.length > 0) throw new CheckError(differences.join('\n'));
  return places.length;
}

function judge({ counts, apis: results, failures }: SuiteReport, hasReferrers: boolean): string {
  const [passed = 0, failed = 0, errors = 0] = ['Pass', 'FAIL', 'Error'].map((name) => counts.get(name));
  if (failed + errors > 0 || failures.length > 0) throw new CheckError(failures.join('\n'));
  const expected = hasReferrers ? [...apis, 'Referrers'] : apis;
  const missing = expected.filter((name) => results.get(name) !== 'Pass');
  if (missing.length > 0) throw new CheckError(missing.map((name) => `${name}: ${results.get(name)}`).join('\n'));
  if (passed < 100) throw new CheckError(`only ${passed} tests were run`);
  return `${passed} tests pass, none fails: ${expected.join(', ').toLowerCase()}`;
}

export async function playConformance(stage: Stage, seeded: Seeded, hasReferrers: boolean): Promise<void> {
  const { upstream } = seeded;
  const { report, tools, workspace } = stage;
  const row = `conformance suite ${stage.versions.get('conformance')?.slice(-12)} @ ${upstream.name}`;
  await revive(seeded);
  const pushed: SuiteContent[] = [];
  await report.check(`${row}: its content is at the registry`, async () => {
    const directory = workspace.directory('conformance');
    await runConformanceSuite(tools.conformance, { directory, registry: upstream.host, repository, hasReferrers });
    const content = await contentAt(upstream.host);
    const { tags, manifests, blobs } = content;
    pushed.push(content);
    if (tags.length < 10 || manifests.length < 20 || blobs.length < 30) throw new CheckError(JSON.stringify(content));
    return `${tags.length} tags, ${manifests.length} manifests, ${blobs.length} blobs`;
  });
  for (const readOnly of pushed) {
    await withWeir(stage, row, upstream, async (weir) => {
      const path = `${upstream.name}/${repository}`;
      for (const phase of ['cold', 'warm'] as const) {
        await upstream.settle();
        const before = upstream.requests().length;
        const isOk = await report.check(
          `${row}: ${phase}`,
          async () => {
            const directory = workspace.directory('conformance');
            const options = { directory, registry: weir.host, repository: path, hasReferrers, readOnly };
            const note = judge(await runConformanceSuite(tools.conformance, options), hasReferrers);
            await upstream.settle();
            const moved = contentTransfers(upstream.requests().slice(before)).filter(({ status }) => status === 200);
            if (phase === 'warm' && moved.length > 0) throw new CheckError(moved.map(describeRequest).join('\n'));
            return note;
          },
          () => weir.loggedSince(0),
        );
        report.cell(row, phase, isOk, upstream.requests().length - before);
      }
      report.empty(row, 'what does not exist, only the upstream can say', ['upstream stopped']);
      await report.check(`${row}: the same bytes and headers as from the registry`, async () => {
        const [direct, through] = [`http://${upstream.host}/v2/${repository}`, `http://${weir.host}/v2/${path}`];
        const count = await compare(readOnly, direct, through);
        const referrers = hasReferrers ? `, ${await compareReferrers(readOnly, direct, through)} referrers` : '';
        return `${count} manifests, tags and blobs${referrers}`;
      });
    });
  }
}
