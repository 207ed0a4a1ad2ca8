/** Every client's pull is played cold, warm and with the upstream stopped; and again with somebody else's credentials. */
import { describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../../support/upstream/request.ts';
import { type ClientOptions, ReplayClient } from './client.ts';
import { startWeir, type Weir, type WeirOptions } from './weir.ts';

export type Stage = 'cold' | 'warm' | 'stopped';

/** Requests at the upstream by method and kind: `{ 'HEAD manifest': 1, 'GET blob': 3 }`. */
export type Costs = Readonly<Record<string, number>>;

export interface ReplayPlan extends WeirOptions {
  readonly client: ClientOptions;
  /** What the client does, with what it insists on asserted. Each stage has a new client. */
  readonly pull: (client: ReplayClient, stage: Stage) => Promise<void>;
  readonly cold: Costs;
  /** Default: none. */
  readonly warm?: Costs;
  /** Connections that the client needs for one pull; not asserted unless given. */
  readonly connections?: number;
}

/** In base64 and plain: whatever finds its way to an upstream would show. */
const secret = 'hunter2-of-another-registry';
const foreign: Readonly<Record<Stage, string>> = {
  cold: `Basic ${Buffer.from(`pod:${secret}`).toString('base64')}`,
  warm: `Bearer ${secret}`,
  stopped: `Bearer ${Buffer.from(secret).toString('base64url')}`,
};

export function replays(title: string, plan: ReplayPlan): void {
  describe(title, () => {
    it('pulls cold, warm and with the upstream stopped', async () => {
      await using weir = await startWeir(plan);
      expect(await play(weir, plan)).toEqual({ cold: plan.cold, warm: plan.warm ?? {}, stopped: {} });
    });

    it("brings somebody else's credentials, which are tolerated and never forwarded", async () => {
      await using weir = await startWeir(plan);
      expect(await play(weir, plan, foreign)).toEqual({ cold: plan.cold, warm: plan.warm ?? {}, stopped: {} });
    });
  });
}

async function play(
  weir: Weir,
  plan: ReplayPlan,
  authorization?: Readonly<Record<Stage, string>>,
): Promise<Readonly<Record<Stage, Costs>>> {
  const costs: Record<Stage, Costs> = { cold: {}, warm: {}, stopped: {} };
  for (const stage of ['cold', 'warm', 'stopped'] as const) {
    if (stage === 'stopped') await weir.stopUpstreams();
    weir.forgetRequests();
    using client = new ReplayClient(weir.origin, plan.client);
    client.authorization = authorization?.[stage];
    await plan.pull(client, stage);
    if (plan.connections !== undefined) expect(client.connections).toBe(plan.connections);
    const requests = weir.upstreamRequests();
    expectNothingOfTheClient(requests, plan.client.userAgent);
    costs[stage] = costsOf(requests);
  }
  return costs;
}

export function costsOf(requests: readonly RecordedRequest[]): Costs {
  const costs: Record<string, number> = {};
  for (const { method, kind } of requests) costs[`${method} ${kind}`] = (costs[`${method} ${kind}`] ?? 0) + 1;
  return costs;
}

/** Neither credentials nor anything else by which an upstream could know the client behind weir. */
export function expectNothingOfTheClient(requests: readonly RecordedRequest[], userAgent: string): void {
  for (const { rawHeaders, target, headers } of requests) {
    expect(headers, target).not.toHaveProperty('authorization');
    const text = JSON.stringify([target, rawHeaders]);
    for (const value of [secret, ...Object.values(foreign).map((header) => header.split(' ')[1] ?? header)]) {
      expect(text).not.toContain(value);
    }
    expect(text).not.toContain(userAgent);
    expect(target).not.toContain('ns=');
  }
}
