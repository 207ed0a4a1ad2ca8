/**
 * cosign 2 and 3 with a key pair and without transparency log: signatures and attestations under legacy tags
 * (`sha256-<hex>.sig`, `.att`) and as bundles that refer to the image, which a registry without the referrers API
 * lists under a fallback tag.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Artifact } from '../content/seed.ts';
import { run } from '../process.ts';
import type { ProgramName } from '../programs.ts';
import { CheckError } from '../report.ts';
import { revive, withWeir } from '../stage.ts';
import { expectMatch, expectSame, failure, homeIn, type Bench, type Tool } from './tool.ts';

type Cosign = Extract<ProgramName, 'cosign2' | 'cosign3'>;
type Form = 'legacy' | 'bundle';

/** Who signs in which form: cosign 3 makes bundles only, and still verifies what cosign 2 has left behind. */
const signers: Readonly<Record<Cosign, Readonly<Record<Form, Cosign>>>> = {
  cosign2: { legacy: 'cosign2', bundle: 'cosign2' },
  cosign3: { legacy: 'cosign2', bundle: 'cosign3' },
};

/** What an image without any signature, or with none by this key, is answered with: never to be said for a failure. */
const nothingFound = /no (matching )?(signatures|attestations)|no valid bundles/;

class Signer {
  readonly #bench: Bench;
  readonly #cosign: Cosign;
  readonly #env: NodeJS.ProcessEnv;

  constructor(bench: Bench, cosign: Cosign) {
    this.#bench = bench;
    this.#cosign = cosign;
    this.#env = homeIn(bench.directory, { COSIGN_PASSWORD: '' });
  }

  file(name: string): string {
    return join(this.#bench.directory, name);
  }

  async #run(program: Cosign, ...args: readonly string[]): Promise<string> {
    const { stdout } = await run(this.#bench.path(program), args, { cwd: this.#bench.directory, env: this.#env });
    return stdout;
  }

  /** A key pair, and roots of trust that name no service: without them cosign would ask Sigstore's. */
  async makeKeys(): Promise<void> {
    await this.#run('cosign2', 'generate-key-pair');
    await this.#run(this.#cosign, 'trusted-root', 'create', '--out', this.file('root.json'));
    if (this.#cosign === 'cosign3')
      await this.#run('cosign3', 'signing-config', 'create', '--out', this.file('sign.json'));
    writeFileSync(this.file('sbom.json'), JSON.stringify({ spdxVersion: 'SPDX-2.3', name: this.#bench.upstream.name }));
  }

  #image(): Artifact {
    const image = this.#bench.seeded.artifacts.find(({ name }) => name === 'shell');
    if (image === undefined) throw new Error('the content has no image');
    return image;
  }

  repository(form: Form | 'unsigned'): string {
    return `${this.#cosign}/${form}`;
  }

  /** Copies the image and signs the copy, all at the upstream. */
  async push(): Promise<void> {
    const { upstream, path } = this.#bench;
    const image = this.#image();
    for (const form of ['legacy', 'bundle', 'unsigned'] as const) {
      const copy = `${upstream.host}/${this.repository(form)}`;
      await run(path('crane'), ['copy', `${upstream.host}/${image.repository}:${image.tag}`, `${copy}:1`]);
      if (form === 'unsigned') continue;
      const signer = signers[this.#cosign][form];
      const how =
        signer === 'cosign3'
          ? ['--signing-config', this.file('sign.json'), '--trusted-root', this.file('root.json')]
          : ['--tlog-upload=false', `--new-bundle-format=${form === 'bundle'}`];
      const flags = ['--yes', '--key', this.file('cosign.key'), ...how];
      const named = `${copy}@${image.direct.root}`;
      await this.#run(signer, 'sign', ...flags, named);
      await this.#run(signer, 'attest', ...flags, '--type', 'spdxjson', '--predicate', this.file('sbom.json'), named);
    }
  }

  /** A tag of cosign's that no signer has made. */
  absentTag(base: string): string {
    const [host = '', ...path] = `${base}/${this.repository('bundle')}`.split('/');
    return `http://${host}/v2/${path.join('/')}/manifests/${this.#image().direct.root.replace(':', '-')}.att`;
  }

  verification(form: Form, command: 'verify' | 'verify-attestation'): readonly string[] {
    const offline = ['--insecure-ignore-tlog=true', '--trusted-root', this.file('root.json')];
    const bundle = this.#cosign === 'cosign2' ? [`--new-bundle-format=${form === 'bundle'}`] : [];
    const type = command === 'verify' ? [] : ['--type', 'spdxjson'];
    return [command, '--key', this.file('cosign.pub'), ...offline, ...bundle, ...type];
  }

  /** Everything that is attached to an image, as lines that are the same wherever it is read from. */
  async attachments(form: Form, base: string, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
    const image = `${base}/${this.repository(form)}:1`;
    const call = async (...args: readonly string[]): Promise<string> =>
      (await run(this.#bench.path(this.#cosign), [...args, image], { env })).stdout;
    const lines = (await call('download', 'attestation')).split('\n');
    // cosign 2 downloads signatures of the legacy form only, and its tree has no referrers.
    if (this.#cosign === 'cosign2' && form === 'bundle') return lines.filter(Boolean).toSorted();
    lines.push(...(await call('download', 'signature')).split('\n'));
    const tree = [...(await call('tree')).matchAll(/sha256:[0-9a-f]{64}/g)].map(([digest]) => digest);
    expectSame(`cosign tree ${image}: signature and attestation`, new Set(tree).size >= 2, true);
    return [...lines.filter(Boolean), ...tree].toSorted();
  }
}

const forms = ['legacy', 'bundle'] as const;

/** That a signature does not exist was the upstream's last word: it stays that while nobody can be asked, and is marked stale. */
async function staysAbsent(url: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { status, headers } = await fetch(url);
    const outcome = headers.get('cache-status') ?? '';
    if (status === 404 && outcome.includes('stale')) return;
    // For 5 s after it was asked for it is as good as new.
    if (status !== 404 || Date.now() > deadline)
      throw new CheckError(`${url}, which was absent before: ${status} ${outcome}`);
    await sleep(250);
  }
}

/** An image is cached, its signatures are not, and the upstream is away: that is not "no signatures". */
async function failsLoudly(bench: Bench, cosign: Cosign, row: string): Promise<void> {
  const { stage, seeded, upstream, path } = bench;
  await revive(seeded);
  const signer = new Signer(bench, cosign);
  const env = homeIn(bench.directory);
  if (!upstream.isPersistent) await signer.push();
  await withWeir(stage, `${row}, cut off`, upstream, async (weir) => {
    const image = (form: Form | 'unsigned'): string => `${weir.host}/${upstream.name}/${signer.repository(form)}:1`;
    const verify = async (form: Form, of: Form | 'unsigned' = form): Promise<string> =>
      failure(path(cosign), [...signer.verification(form, 'verify'), image(of)], { env });
    await stage.report.check(`${row}: an image without signatures has none`, async () => {
      for (const form of forms) expectMatch('cosign verify', await verify(form, 'unsigned'), nothingFound);
    });
    for (const form of forms) await run(path('crane'), ['manifest', image(form)], { env });
    await upstream.stop();
    await stage.report.check(
      `${row}: signatures that cannot be fetched are an error, not their absence`,
      async () => {
        // At the same time, because cosign retries for a while.
        for (const said of await Promise.all(forms.map(async (form) => verify(form)))) {
          if (nothingFound.test(said))
            throw new CheckError(`cosign was led to believe that there is nothing:\n${said}`);
          expectMatch('cosign verify', said, /50[234]|GATEWAY|UNAVAILABLE|upstream/i);
        }
      },
      () => weir.loggedSince(0),
    );
  });
  await revive(seeded);
}

function tool(name: string, cosign: Cosign): Tool {
  return {
    name,
    programs: [cosign, 'cosign2'],
    upstreams: ['dist3.test', 'referrers.test'],
    prepare: async (bench) => {
      const signer = new Signer(bench, cosign);
      await signer.makeKeys();
      await signer.push();
      const env = homeIn(bench.directory);
      const wanted = new Map<Form, readonly string[]>();
      for (const form of forms) wanted.set(form, await signer.attachments(form, bench.upstream.host, env));
      return async ({ base, phase, env: ownEnv }) => {
        if (phase === 'upstream stopped') await staysAbsent(signer.absentTag(base));
        for (const form of forms) {
          const image = `${base}/${signer.repository(form)}:1`;
          for (const command of ['verify', 'verify-attestation'] as const) {
            const args = [...signer.verification(form, command), image];
            const { stderr } = await run(bench.path(cosign), args, { env: ownEnv });
            expectMatch(`cosign ${command}`, stderr, /The signatures were verified against the specified public key/);
          }
          // `tree` and `download` look for every form, those that the upstream does not have included.
          expectSame(`attachments, ${form}`, await signer.attachments(form, base, ownEnv), wanted.get(form));
        }
      };
    },
    afterwards: (bench, row) => failsLoudly(bench, cosign, row),
  };
}

export const cosigns: readonly Tool[] = [tool('cosign2', 'cosign2'), tool('cosign3', 'cosign3')];
