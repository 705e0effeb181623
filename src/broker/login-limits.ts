import type { StoreTimeout } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { LimitName } from '../token/observer.ts';
import { accountOf, type SubjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';

/** A terminal may have this many refused tokens replaced at once, and then one per interval. */
const REFUSED_BURST = 3;
const REFUSED_INTERVAL_MS = 20_000;
const HOUR_MS = 3_600_000;

/** One permit of a limit. A login or a logout takes it. */
interface Permit {
  readonly limit: LimitName;
  readonly name: string;
  readonly intervalMs: number;
  readonly burst: number;
  /** For a caller that gets none. */
  readonly detail: string;
}

export interface LoginLimitsOptions extends Pick<BrokerPorts, 'rateLimiter' | 'log' | 'observer'> {
  /** Logins and logouts per account and hour over all replicas. 0: no limit. */
  readonly loginsPerHour: number;
  /** Number of them that an account may cause at once after a pause. */
  readonly loginBurst: number;
}

export type LoginLimits = ReturnType<typeof createLoginLimits>;

/** Limits how many logins and logouts an account may cause. A failure of the store lets them through. */
export function createLoginLimits({ rateLimiter, log, observer, loginsPerHour, loginBurst }: LoginLimitsOptions) {
  return { admit, giveBack };

  /** Counts an app's login or logout. @param storeTimeout of the login, if any @throws BrokerError `rate_limited` */
  async function admit(id: SubjectId, cause: 'new' | 'refused' | 'logout', storeTimeout?: StoreTimeout): Promise<void> {
    for (const { limit, name, intervalMs, burst, detail } of permitsFor(id, cause)) {
      const taking = rateLimiter.take(name, intervalMs, burst).catch((error: unknown) => {
        log.warn({ err: error }, 'a limit could not be checked; the login is allowed');
        return 0;
      });
      const waitMs = storeTimeout ? await storeTimeout.wait(taking) : await taking;
      if (waitMs === undefined) log.warn({ limit }, 'a limit was not checked in time; the login is allowed');
      if (!waitMs) continue;
      observer.rateLimited(limit);
      throw new BrokerError('rate_limited', { detail, retryAfter: Math.ceil(waitMs / 1_000) });
    }
  }

  /** Takes back what {@link admit} counted: the login was not sent to the vendor, or the logout was refused. */
  async function giveBack(id: SubjectId, cause: 'new' | 'refused' | 'logout'): Promise<void> {
    for (const { name, intervalMs } of permitsFor(id, cause)) {
      await rateLimiter.giveBack(name, intervalMs).catch((error: unknown) => {
        log.debug({ err: error }, 'a login or logout that did not take place stays counted');
      });
    }
  }

  /** In the order in which they are taken. */
  function permitsFor(id: SubjectId, cause: 'new' | 'refused' | 'logout'): readonly Permit[] {
    const ofTerminal: Permit = {
      limit: 'refused_tokens',
      name: `refused ${id}`,
      intervalMs: REFUSED_INTERVAL_MS,
      burst: REFUSED_BURST,
      detail: `A terminal may have ${REFUSED_BURST} refused tokens replaced at once, and then one every ${REFUSED_INTERVAL_MS / 1_000} s`,
    };
    const ofAccount: Permit = {
      limit: 'logins',
      name: `logins ${accountOf(id)}`,
      intervalMs: HOUR_MS / loginsPerHour,
      burst: Math.min(loginBurst, loginsPerHour),
      detail: `An account may cause ${loginsPerHour} logins and logouts per hour`,
    };
    return [...(cause === 'refused' ? [ofTerminal] : []), ...(loginsPerHour > 0 ? [ofAccount] : [])];
  }
}
