import { LRUCache } from 'lru-cache';
import { BrokerError } from '../token/errors.ts';

/** Counts a request. @returns a `rate_limited` error if the request exceeds the limit */
export type Allowance = () => BrokerError | undefined;

/** The allowance of an account. */
export type AccountLimit = (unionId: string) => Allowance;

/** Most accounts in memory. The least recently used one is dropped, and its limit starts again. */
const MAX_ACCOUNTS = 100_000;
const WINDOW_MS = 60_000;

/**
 * Limits the requests of each account to this replica: `perMinute` at once after a pause, and then as many per minute,
 * evenly spread. The counts are in memory, so every replica allows as many.
 * @param perMinute requests per account and minute; 0: no limit
 */
export function accountLimit(perMinute: number): AccountLimit {
  if (perMinute === 0) return () => () => undefined;
  const allowances = new LRUCache<string, Allowance>({ max: MAX_ACCOUNTS });
  const detail = `An account may send ${perMinute} requests per minute`;
  return (unionId) => {
    const known = allowances.get(unionId);
    if (known) return known;
    const fresh = allowance(perMinute, detail);
    allowances.set(unionId, fresh);
    return fresh;
  };
}

/** Allows `perMinute` at once after a pause, and then as many per minute, evenly spread. @param detail of the error */
export function allowance(perMinute: number, detail: string): Allowance {
  const intervalMs = WINDOW_MS / perMinute;
  /** When the whole burst is available again, by `performance.now()` (generic cell rate algorithm). */
  let fullAt = 0;
  return () => {
    const now = performance.now();
    const next = Math.max(now, fullAt) + intervalMs;
    const waitMs = next - now - WINDOW_MS;
    // Less than 1 ms may be a rounding error of the sum of intervals.
    if (waitMs >= 1) return new BrokerError('rate_limited', { detail, retryAfter: Math.ceil(waitMs / 1_000) });
    fullAt = next;
    return undefined;
  };
}
