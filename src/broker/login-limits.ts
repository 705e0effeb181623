import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { LimitName, Observer } from '../token/observer.ts';
import type { RateLimiter } from '../token/ports.ts';
import { accountOf, type SubjectId } from '../token/subject.ts';
import type { TimeBudget } from '../token/time-budget.ts';

/** A terminal may have this many refused tokens replaced at once, and then one per interval. */
const REFUSED_BURST = 3;
const REFUSED_INTERVAL_MS = 20_000;

export interface LoginLimitsOptions {
  readonly rates: RateLimiter;
  /** Logins per account and minute over all replicas. 0: no limit, also not for refused tokens. */
  readonly perMinute: number;
  readonly log: Log;
  readonly observer: Observer;
}

/** Limits how many logins an app may cause. A failure of the store lets the login through. */
export class LoginLimits {
  readonly #options: LoginLimitsOptions;

  constructor(options: LoginLimitsOptions) {
    this.#options = options;
  }

  /** @throws BrokerError `rate_limited` */
  async admit(id: SubjectId, cause: 'new' | 'refused', timeBudget: TimeBudget): Promise<void> {
    const { perMinute, log, observer } = this.#options;
    if (perMinute === 0) return;
    const take = async (limit: LimitName, name: string, intervalMs: number, burst: number): Promise<void> => {
      const waitMs = await timeBudget.wait(this.#take(name, intervalMs, burst));
      if (waitMs === undefined) log.warn({ limit }, 'a limit was not checked in time; the login is allowed');
      if (!waitMs) return;
      observer.rateLimited(limit);
      throw new BrokerError('rate_limited', { retryAfter: Math.ceil(waitMs / 1_000) });
    };
    if (cause === 'refused') await take('refused_tokens', `refused ${id}`, REFUSED_INTERVAL_MS, REFUSED_BURST);
    await take('logins', `logins ${accountOf(id)}`, 60_000 / perMinute, perMinute);
  }

  async #take(name: string, intervalMs: number, burst: number): Promise<number> {
    const { rates, log } = this.#options;
    try {
      return await rates.take(name, intervalMs, burst);
    } catch (error) {
      log.warn({ err: error }, 'a limit could not be checked; the login is allowed');
      return 0;
    }
  }
}
