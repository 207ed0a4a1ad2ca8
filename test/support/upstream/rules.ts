/** Which behaviour applies to which request. */
import { type Behaviour, combine } from './behaviour.ts';
import { type Match, matches, type RecordedRequest } from './request.ts';

export interface RuleOptions {
  /** The rule applies to this many matching requests, then no more. */
  readonly times?: number;
  /** So many matching requests are left alone first. */
  readonly skip?: number;
  /** Also for requests that fail authentication, which otherwise get their 401 without counting. */
  readonly beforeAuth?: boolean;
}

export interface Rule {
  /** How many requests it was applied to. */
  readonly hits: number;
  remove(): void;
}

interface ActiveRule extends Rule {
  readonly match: Match;
  readonly options: RuleOptions;
  readonly behaviour: Behaviour;
  seen: number;
  hits: number;
}

export class RuleBook {
  #rules: ActiveRule[] = [];

  /** Adds a rule above all others. */
  add(match: Match, script: readonly (RuleOptions | Behaviour)[]): Rule {
    const { times, skip, beforeAuth, ...behaviour } = combine(script as readonly Behaviour[]) as RuleOptions &
      Behaviour;
    const rule: ActiveRule = {
      match,
      options: {
        ...(times === undefined ? {} : { times }),
        ...(skip === undefined ? {} : { skip }),
        ...(beforeAuth === undefined ? {} : { beforeAuth }),
      },
      behaviour,
      seen: 0,
      hits: 0,
      remove: () => {
        this.#rules = this.#rules.filter((other) => other !== rule);
      },
    };
    this.#rules.unshift(rule);
    return rule;
  }

  /** The behaviour of the newest rule that applies, which counts as a hit of that rule. */
  take(request: RecordedRequest, isRefused: boolean): Behaviour | undefined {
    for (const rule of this.#rules) {
      const { times = Infinity, skip = 0, beforeAuth = false } = rule.options;
      if ((isRefused && !beforeAuth) || !matches(rule.match, request)) continue;
      rule.seen++;
      if (rule.seen <= skip || rule.hits >= times) continue;
      rule.hits++;
      return rule.behaviour;
    }
    return undefined;
  }

  clear(): void {
    this.#rules = [];
  }
}
