/** One client against one upstream through weir: every artifact cold, then warm, then with the upstream stopped. */
import type { By, Client, Pulled, Session } from '../clients/client.ts';
import type { Artifact } from '../content/seed.ts';
import { CheckError, type Phase } from '../report.ts';
import { describeRequest, type LoggedRequest } from '../request-log.ts';
import { revive, withWeir, type Seeded, type Stage } from '../stage.ts';
import type { Upstream } from '../upstreams.ts';
import type { Weir } from '../weir.ts';
import { coldCost, noContent, onceEach } from './cost.ts';

/** How a client is named in the matrix. */
export function titleOf(
  { name, programs }: Pick<Client, 'name' | 'programs'>,
  versions: ReadonlyMap<string, string>,
): string {
  const version = versions.get(programs[0]);
  return version === undefined ? name : `${name} ${version}`;
}

export async function playMatrix(stage: Stage, client: Client, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  const row = `${titleOf(client, stage.versions)} @ ${upstream.name}`;
  const artifacts = seeded.artifacts.filter(({ kind }) => client.kinds.includes(kind));
  const others = stage.seeded.map((one) => one.upstream).filter((one) => one !== upstream);
  await revive(seeded);
  // For everybody else the default upstream is a wrong one: what is answered from there is another image.
  const dockerHub = client.isDockerHubOnly === true ? upstream : others[0];
  if (dockerHub === undefined) throw new Error('the matrix needs two upstreams');
  await withWeir(stage, row, dockerHub, async (weir) => {
    const { tools, workspace, report } = stage;
    const settings = workspace.directory('settings');
    if (client.setup !== undefined) await weir.setUp(client.setup, settings);
    const session = await client.open({ tools, workspace, weir: weir.host, upstream, settings });
    await upstream.settle();
    const first = upstream.requests().length;
    const elsewhere = others.map((one) => one.requests().length);
    const game = new Game(stage, row, client, session, upstream, weir);
    try {
      for (const artifact of artifacts) {
        await game.pull('cold', artifact, 'tag', async (_, pulled) => {
          await coldCost(() => upstream.requests().slice(first), artifact, client, pulled);
        });
      }
      await upstream.settle();
      await report.check(`${row}: nothing was transferred twice`, async () => {
        onceEach(upstream.requests().slice(first), artifacts);
      });
      for (const artifact of artifacts) {
        await game.pull('warm', artifact, 'tag', async (requests) => noContent(requests, upstream, artifact));
      }
      await upstream.stop();
      for (const artifact of artifacts) {
        // A gibibyte once is enough: by digest it is the same blob.
        const ways: readonly By[] = artifact.kind === 'large' ? ['tag'] : ['tag', 'digest'];
        for (const by of ways) await game.pull('upstream stopped', artifact, by, async () => {});
      }
    } finally {
      await session.close();
      workspace.remove(settings);
    }
    await report.check(`${row}: no other upstream was asked`, async () => {
      const now = others.map((one) => one.requests().length);
      if (now.some((count, index) => count !== elsewhere[index]))
        throw new CheckError(`${elsewhere.join()} -> ${now.join()}`);
    });
  });
  await revive(seeded);
}

type Cost = (requests: readonly LoggedRequest[], pulled: Pulled) => Promise<void>;

/** The checks that every pull of a scenario has in common. */
class Game {
  readonly #stage: Stage;
  readonly #row: string;
  readonly #client: Client;
  readonly #session: Session;
  readonly #upstream: Upstream;
  readonly #weir: Weir;

  constructor(stage: Stage, row: string, client: Client, session: Session, upstream: Upstream, weir: Weir) {
    this.#stage = stage;
    this.#row = row;
    this.#client = client;
    this.#session = session;
    this.#upstream = upstream;
    this.#weir = weir;
  }

  async pull(phase: Phase, artifact: Artifact, by: By, cost: Cost): Promise<void> {
    const mark = this.#weir.mark();
    const before = this.#upstream.requests().length;
    const since = (): readonly LoggedRequest[] => this.#upstream.requests().slice(before);
    const isOk = await this.#stage.report.check(
      `${this.#row}: ${artifact.name} ${phase}, by ${by}`,
      async () => {
        const started = performance.now();
        const pulled = await this.#session.pull(artifact, by);
        const milliseconds = performance.now() - started;
        this.#compare(artifact, pulled);
        await this.#upstream.settle(50);
        await cost(since(), pulled);
        return `${milliseconds.toFixed(0)} ms, ${since().length} upstream requests`;
      },
      async () => {
        const asked = since().map(describeRequest).join(', ');
        return `upstream: ${asked}\nweir:\n${await this.#weir.loggedSince(mark)}`;
      },
    );
    this.#stage.report.cell(this.#row, phase, isOk, since().length);
  }

  /** What the client got is what a direct pull got. */
  #compare({ direct, says, name }: Artifact, { digests, blobs, said }: Pulled): void {
    if (!digests.includes(direct.root)) {
      throw new CheckError(`${name} is ${direct.root} directly, through weir ${digests.join(' ') || 'nothing'}`);
    }
    const needed = this.#client.platforms === 'all' ? [...direct.blobs.keys()] : direct.amd64;
    const kept = this.#client.keeps === 'last blob' ? needed.slice(-1) : needed;
    const absent = blobs === undefined ? [] : kept.filter((digest) => !blobs.includes(digest));
    if (absent.length > 0) throw new CheckError(`the client has no ${absent.join(' ')}`);
    if (said !== undefined && said !== says) throw new CheckError(`a container printed ${said}, not ${says}`);
  }
}
