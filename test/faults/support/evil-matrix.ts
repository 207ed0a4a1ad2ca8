/** Runs a table of misbehaviours against one daemon, and collects what came of every cell. */
import { join } from 'node:path';
import { eventually } from '../../support/gate.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { tempDirectory } from '../../support/temp.ts';
import { flip } from '../../support/upstream/behaviour.ts';
import { Daemon } from './daemon.ts';
import { type Cell, ask, cellsOf, type Misbehaviour, type Seen } from './evil-cells.ts';

/** What came of one cell. */
export interface Result {
  readonly cell: Cell;
  readonly evil: Seen;
  /** Requests that the upstream got while it was evil. */
  readonly askedWhileEvil: number;
  /** Words for what the next requests met, up to the first right one; the same word in a row is one. */
  readonly recovery: readonly string[];
  readonly askedInAll: number;
}

export interface Matrix extends AsyncDisposable {
  readonly weir: Daemon;
  readonly upstream: ScriptedUpstream;
  /** Another machine, to which some redirects lead. */
  readonly thief: ScriptedUpstream;
  readonly results: readonly Result[];
  /** Digests in the store when the evil was over. */
  readonly visibleAfterEvil: ReadonlySet<string>;
}

export interface MatrixOptions {
  /** Merged into every upstream entry. */
  readonly entry?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

const clients = 24;

/** First every cell with its evil, then every cell with a well upstream, until it is right. */
export async function runMatrix(
  misbehaviours: readonly Misbehaviour[],
  { entry = {}, env = {} }: MatrixOptions = {},
): Promise<Matrix> {
  await using undo = new AsyncDisposableStack();
  const directory = undo.use(await tempDirectory('weir-evil'));
  const upstream = undo.use(await ScriptedUpstream.start());
  // It has the same content, so that what comes from there can be right.
  const thief = undo.use(await ScriptedUpstream.start({ content: upstream.content }));
  thief.on({ where: ({ query }) => query.has('flip') }, flip(0));
  const cells = cellsOf(misbehaviours, upstream, thief.url);
  const upstreams = Object.fromEntries(cells.map(({ key }) => [key, { url: upstream.url, ...entry }]));
  const weir = undo.use(
    await Daemon.start({
      directory: join(directory.path, 'weir'),
      upstreams,
      env,
      config: { log: { level: 'debug' }, prefetch: { enabled: false } },
    }),
  );
  const evil = await inTurn(cells, async (cell) => {
    const seen = await ask(cell, weir.url);
    return { cell, evil: seen, askedWhileEvil: upstream.count({ repository: cell.repository }) };
  });
  await weir.idle();
  const visibleAfterEvil = new Set(weir.blobs());
  upstream.clearRules();
  const results = await inTurn(evil, async (result) => {
    const recovery = await recoveryOf(result.cell, weir.url);
    return { ...result, recovery, askedInAll: upstream.count({ repository: result.cell.repository }) };
  });
  const all = undo.move();
  return { weir, upstream, thief, results, visibleAfterEvil, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function recoveryOf(cell: Cell, url: string): Promise<readonly string[]> {
  const words: string[] = [];
  const column = cell.column === 'head' ? 'blob' : cell.column;
  try {
    await eventually(async () => {
      const { verdict } = await ask(cell, url, column);
      if (words.at(-1) !== verdict) words.push(verdict);
      await new Promise((resolve) => setTimeout(resolve, verdict === 'right' ? 0 : 200));
      return verdict === 'right';
    });
  } catch {
    words.push('never right'); // seen by whoever reads the words
  }
  return words;
}

/** At most so many at a time; the results in order. */
async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const done: R[] = [];
  const entries = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) done[index] = await work(item);
  };
  await Promise.all(Array.from({ length: clients }, worker));
  return done;
}
