import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { LimitName, Observer } from '../token/observer.ts';
import type { RateLimiter } from '../token/ports.ts';
import { accountOf, type SubjectId } from '../token/subject.ts';
import { within } from './within.ts';

/** A terminal's refused token is replaced at once this often, and then every so many ms. */
const REFUSALS_AT_ONCE = 3;
const REFUSAL_INTERVAL_MS = 20_000;
/** Most ms a limit may hold a login up. */
const PATIENCE_MS = 100;

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
  async admit(id: SubjectId, cause: 'new' | 'refused'): Promise<void> {
    const { perMinute } = this.#options;
    if (perMinute === 0) return;
    if (cause === 'refused') await this.#take('refused_tokens', `refused ${id}`, REFUSAL_INTERVAL_MS, REFUSALS_AT_ONCE);
    await this.#take('logins', `logins ${accountOf(id)}`, 60_000 / perMinute, perMinute);
  }

  async #take(limit: LimitName, name: string, intervalMs: number, burst: number): Promise<void> {
    const { rates, log, observer } = this.#options;
    const taking = rates.take(name, intervalMs, burst).catch((error: unknown) => {
      log.warn({ err: error }, 'a limit could not be checked: the login is let through');
      return 0;
    });
    const waitMs = (await within(PATIENCE_MS, taking)) ?? 0;
    if (waitMs <= 0) return;
    observer.rateLimited(limit);
    throw new BrokerError('rate_limited', { retryAfter: Math.ceil(waitMs / 1_000) });
  }
}
