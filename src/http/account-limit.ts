import { RateLimiter } from 'limiter';
import { LRUCache } from 'lru-cache';
import { BrokerError } from '../token/errors.ts';

/** Counts a request of the account, unless it is one too many. @returns `rate_limited` if it is */
export type AccountLimit = (unionId: string) => BrokerError | undefined;

/** Accounts counted at a time; whoever was quiet the longest is forgotten first. */
const MAX_ACCOUNTS = 100_000;

/**
 * Limits what one account may ask of this replica, counted in memory: a replica more allows as many again. A minute begins
 * with the account's first request after the last one has ended; what is left of one fills up evenly.
 * @param perMinute 0: no limit
 */
export function accountLimit(perMinute: number): AccountLimit {
  if (perMinute === 0) return () => undefined;
  const limiters = new LRUCache<string, RateLimiter>({ max: MAX_ACCOUNTS });
  const detail = `An account may ask ${perMinute} times a minute`;
  return (unionId) => {
    let limiter = limiters.get(unionId);
    if (!limiter) {
      limiter = new RateLimiter({ tokensPerInterval: perMinute, interval: 'minute' });
      limiters.set(unionId, limiter);
    }
    if (limiter.tryRemoveTokens(1)) return undefined;
    return new BrokerError('rate_limited', { detail, retryAfter: Math.ceil(limiter.getWaitTime(1) / 1_000) });
  };
}
