/** An upstream of which a part is sick, and clients that ask for everything until they have it. In simulated time. */
import { failure } from '../../../src/upstream/contract/failure.ts';
import { OriginHealth } from '../../../src/upstream/health/origin.ts';
import { type Kind, type Question, questionKey } from '../../../src/upstream/contract/question.ts';
import { Standing } from '../../../src/upstream/limits/standing.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { repo } from './clients.ts';

export type Sickness = 'serverError' | 'unreachable' | 'badResponse' | 'timeout';

export interface Thing {
  readonly repository: string;
  readonly kind: Kind;
  readonly subject: string;
  readonly client: string;
  /** Undefined: it is well. */
  readonly sickness: Sickness | undefined;
  /** When it is asked for first, and how long until it is asked for again after a failure; milliseconds. */
  readonly atMs: number;
  readonly retryMs: number;
}

const headTimeoutMs = 60_000;
const answerMs = 20;

/** The healthy things that nobody had got after `durationMs`, and how often the upstream was asked. */
export async function simulate(
  things: readonly Thing[],
  durationMs = 60_000,
): Promise<{ readonly unserved: readonly string[]; readonly asked: number }> {
  const clock = new FakeClock();
  const standing = new Standing('test', clock);
  const control = new AbortController();
  const health = new OriginHealth({
    upstream: 'test',
    place: 'http://test',
    clock,
    isStorage: false,
    probe: async () => {
      await clock.sleep(answerMs, control.signal).catch(() => undefined);
      return 'answered';
    },
    onChange: () => undefined,
  });
  const unserved = new Set<string>();
  let asked = 0;
  const ask = async (thing: Thing, question: Question): Promise<void> => {
    const startedMs = clock.monotonic();
    await standing.admit(question, { startedMs, endsAtMs: startedMs + headTimeoutMs }, control.signal);
    const permit = await health.enter(thing.subject, control.signal);
    const sentAtMs = clock.monotonic();
    asked++;
    await clock.sleep(thing.sickness === 'timeout' ? startedMs + headTimeoutMs - sentAtMs : answerMs, control.signal);
    if (thing.sickness === undefined || thing.sickness === 'serverError' || thing.sickness === 'badResponse')
      permit.answered();
    else permit.failed(true);
    if (thing.sickness === undefined) return standing.settle(question, { kind: 'answered' }, sentAtMs);
    const error = failure(thing.sickness, 'test', thing.sickness);
    standing.settle(question, { kind: 'failed', error }, sentAtMs);
    throw error;
  };
  const client = async (thing: Thing): Promise<void> => {
    const { kind, subject } = thing;
    const question: Question = {
      kind,
      method: 'GET',
      repository: repo(thing.repository),
      subject,
      asker: 'nobody',
      client: thing.client,
    };
    const key = questionKey(question);
    if (thing.sickness === undefined) unserved.add(key);
    await clock.sleep(thing.atMs, control.signal);
    for (;;) {
      const isServed = await ask(thing, question).then(
        () => true,
        () => false,
      );
      if (isServed) return void unserved.delete(key);
      await clock.sleep(thing.retryMs, control.signal);
    }
  };
  const clients = things.map((thing) => client(thing).catch(() => undefined));
  await clock.advance(durationMs);
  control.abort();
  health.close();
  await Promise.all(clients);
  return { unserved: [...unserved], asked };
}
