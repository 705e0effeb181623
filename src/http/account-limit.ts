import { RateLimiter } from 'limiter';
import { LRUCache } from 'lru-cache';
import { BrokerError } from '../token/errors.ts';

/** Counts a request of one account. @returns a `rate_limited` error if the request exceeds the limit */
export type Allowance = () => BrokerError | undefined;

/** The allowance of an account. */
export type AccountLimit = (unionId: string) => Allowance;

/** Most accounts in memory. The least recently used one is dropped, and its limit starts again. */
const MAX_ACCOUNTS = 100_000;

/**
 * Limits the requests of each account to this replica. The counts are in memory, so every replica allows as many.
 * @param perMinute requests per account and minute; 0: no limit
 */
export function accountLimit(perMinute: number): AccountLimit {
  if (perMinute === 0) return () => () => undefined;
  const allowances = new LRUCache<string, Allowance>({ max: MAX_ACCOUNTS });
  const detail = `An account may send ${perMinute} requests per minute`;
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
