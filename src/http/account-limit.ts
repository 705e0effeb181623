import { BrokerError } from '../token/errors.ts';

/** Counts a request of an account. @returns a `rate_limited` error if the request exceeds the limit */
export type AccountLimit = (unionId: string) => BrokerError | undefined;

const WINDOW_MS = 60_000;

/**
 * Limits the requests of each account to this replica: `perMinute` at once after a pause, and then as many per minute,
 * evenly spread. The counts are in memory, so every replica allows as many.
 * @param perMinute requests per account and minute; 0: no limit
 * @param maxAccounts accounts in memory, as in {@link rateLimit}
 */
export function accountLimit(perMinute: number, maxAccounts: number): AccountLimit {
  if (perMinute === 0) return () => undefined;
  return rateLimit(perMinute, `An account may send ${perMinute} requests per minute`, maxAccounts);
}

/**
 * Allows for each key `perMinute` at once after a pause, and then as many per minute, evenly spread (generic cell rate
 * algorithm).
 * @param detail of the error
 * @param maxKeys keys in memory. With more, keys that came less recently are dropped, and their limits start again
 */
export function rateLimit(
  perMinute: number,
  detail: string,
  maxKeys: number,
): (key: string) => BrokerError | undefined {
  const intervalMs = WINDOW_MS / perMinute;
  // For each key, when its whole burst is available again, by `performance.now()`. That is within a minute, so keys
  // without a request in a whole minute are forgotten.
  let [current, former] = [new Map<string, number>(), new Map<string, number>()];
  let startedAt = 0;
  return (key) => {
    const now = performance.now();
    if (now - startedAt >= WINDOW_MS || current.size >= maxKeys / 2) {
      [current, former] = [new Map(), current];
      startedAt = now;
    }
    const fullAt = current.get(key) ?? former.get(key) ?? 0;
    const next = Math.max(now, fullAt) + intervalMs;
    const waitMs = next - now - WINDOW_MS;
    // Less than 1 ms may be a rounding error of the sum of intervals.
    if (waitMs >= 1) return new BrokerError('rate_limited', { detail, retryAfter: Math.ceil(waitMs / 1_000) });
    current.set(key, next);
    return undefined;
  };
}
