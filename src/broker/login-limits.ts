import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { LimitName, Observer } from '../token/observer.ts';
import type { RateLimiter } from '../token/ports.ts';
import { accountOf, type SubjectId } from '../token/subject.ts';
import type { TimeBudget } from '../token/time-budget.ts';

/** A terminal's refused token is replaced at once this often, and then every so many ms. */
const REFUSALS_AT_ONCE = 3;
const REFUSAL_INTERVAL_MS = 20_000;

export interface LoginLimitsOptions {
  readonly rates: RateLimiter;
  /** Logins an account may cause per minute, over all replicas; 0: no limit, for refused tokens neither. */
  readonly perMinute: number;
  readonly log: Log;
  readonly observer: Observer;
}

/** How often an app may cause a login. Store trouble never turns a limit into an outage. */
export class LoginLimits {
  readonly #options: LoginLimitsOptions;

  constructor(options: LoginLimitsOptions) {
    this.#options = options;
  }

  /** @throws BrokerError `rate_limited` */
  async admit(id: SubjectId, cause: 'new' | 'refused', timeBudget: TimeBudget): Promise<void> {
    const { perMinute } = this.#options;
    if (perMinute === 0) return;
    const take = async (limit: LimitName, name: string, intervalMs: number, burst: number): Promise<void> => {
      const waitMs = await timeBudget.wait(this.#take(name, intervalMs, burst));
      if (waitMs === undefined)
        this.#options.log.warn({ limit }, 'a limit was not checked in time: the login is let through');
      if (!waitMs || waitMs <= 0) return;
      this.#options.observer.rateLimited(limit);
      throw new BrokerError('rate_limited', { retryAfter: Math.ceil(waitMs / 1_000) });
    };
    if (cause === 'refused') await take('refused_tokens', `refused ${id}`, REFUSAL_INTERVAL_MS, REFUSALS_AT_ONCE);
    await take('logins', `logins ${accountOf(id)}`, 60_000 / perMinute, perMinute);
  }

  async #take(name: string, intervalMs: number, burst: number): Promise<number> {
    const { rates, log } = this.#options;
    try {
      return await rates.take(name, intervalMs, burst);
    } catch (error) {
      log.warn({ err: error }, 'a limit could not be checked: the login is let through');
      return 0;
    }
  }
}
