import { RateLimiter } from 'limiter';
import { LRUCache } from 'lru-cache';
import { BrokerError } from '../token/errors.ts';

/** Counts a request of one account, unless it is one too many. @returns `rate_limited` if it is */
export type Allowance = () => BrokerError | undefined;

/** The allowance of an account. */
export type AccountLimit = (unionId: string) => Allowance;

/** Accounts counted at a time; whose allowance was not looked up for the longest is forgotten first, and starts anew. */
const MAX_ACCOUNTS = 100_000;

/**
 * Limits what one account may ask of this replica, counted in memory: a replica more allows as many again. A minute begins
 * with the account's first request after the last one has ended; what is left of one fills up evenly.
 * @param perMinute 0: no limit
 */
export function accountLimit(perMinute: number): AccountLimit {
  if (perMinute === 0) return () => () => undefined;
  const allowances = new LRUCache<string, Allowance>({ max: MAX_ACCOUNTS });
  const detail = `An account may ask ${perMinute} times a minute`;
  const allow = (): Allowance => {
    const limiter = new RateLimiter({ tokensPerInterval: perMinute, interval: 'minute' });
    return () =>
      limiter.tryRemoveTokens(1)
        ? undefined
        : new BrokerError('rate_limited', { detail, retryAfter: Math.ceil(limiter.getWaitTime(1) / 1_000) });
  };
  return (unionId) => {
    const known = allowances.get(unionId);
    if (known) return known;
    const allowance = allow();
    allowances.set(unionId, allowance);
    return allowance;
  };
}
