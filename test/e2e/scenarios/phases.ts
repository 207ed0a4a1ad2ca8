/** What a client that is more than a pull does through weir: cold, then warm, then with the upstream stopped. */
import type { Phase } from '../report.ts';
import { phases, CheckError } from '../report.ts';
import { contentTransfers, describeRequest, type LoggedRequest } from '../request-log.ts';
import { revive, withWeir, type Seeded, type Stage } from '../stage.ts';
import type { UpstreamEntry, Weir } from '../weir.ts';

export interface Play {
  /** The row of the matrix: client and version @ upstream. */
  readonly row: string;
  readonly seeded: Seeded;
  /** The upstream that weir also knows as docker.io; default: that of `seeded`. */
  readonly dockerHub?: UpstreamEntry;
  /**
   * What the client does, from empty storage each time; throws when what it got is not what a direct pull gets.
   * What it answers is shown beside the check.
   */
  readonly act: (weir: Weir, phase: Phase) => Promise<string | void>;
  /** Phases with nothing to play, and why. */
  readonly without?: Readonly<Partial<Record<Phase, string>>>;
  /** A further look at what the upstream was asked in a phase. */
  readonly cost?: (phase: Phase, requests: readonly LoggedRequest[]) => void;
}

/** Plays all three phases with one weir. Warm, no body of a blob or manifest may come from the upstream. */
export async function playPhases(stage: Stage, { row, seeded, dockerHub, act, without, cost }: Play): Promise<void> {
  const { upstream } = seeded;
  await revive(seeded);
  await withWeir(stage, row, dockerHub ?? upstream, async (weir) => {
    for (const phase of phases) {
      const reason = without?.[phase];
      if (reason !== undefined) {
        stage.report.empty(row, reason, [phase]);
        continue;
      }
      if (phase === 'upstream stopped') await upstream.stop();
      await upstream.settle();
      const [before, mark] = [upstream.requests().length, weir.mark()];
      const since = (): readonly LoggedRequest[] => upstream.requests().slice(before);
      const isOk = await stage.report.check(
        `${row}: ${phase}`,
        async () => {
          const started = performance.now();
          const note = await act(weir, phase);
          const milliseconds = performance.now() - started;
          await upstream.settle(50);
          const moved = phase === 'warm' ? contentTransfers(since()) : [];
          if (moved.length > 0) throw new CheckError(`moved again: ${moved.map(describeRequest).join(', ')}`);
          cost?.(phase, since());
          const facts = [`${milliseconds.toFixed(0)} ms`, `${since().length} upstream requests`];
          return [...facts, ...(note === undefined ? [] : [note])].join(', ');
        },
        async () => {
          const asked = since().map(describeRequest).join(', ');
          return `upstream: ${asked}\nweir:\n${await weir.loggedSince(mark)}`;
        },
      );
      stage.report.cell(row, phase, isOk, since().length);
    }
  });
  await revive(seeded);
}
