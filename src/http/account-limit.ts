import { LRUCache } from 'lru-cache';

const WINDOW_MS = 60_000;
/** Their counts take 4 MiB. */
const MAX_ACCOUNTS = 30_000;

/**
 * The generic cell rate algorithm: after a pause, each sender may send `perMinute` requests at once, and then as many
 * per minute, evenly spread. Beyond `maxSenders`, the limit of the longest quiet one starts again. Each replica counts
 * in memory.
 * @param perMinute 0: no limit
 * @returns the function that counts a request. It returns whole seconds to wait, if the request exceeds the limit
 */
export function rateLimit(perMinute: number, maxSenders = MAX_ACCOUNTS): (sender: string) => number | undefined {
  if (perMinute === 0) return () => undefined;
  const intervalMs = WINDOW_MS / perMinute;
  /** When the whole burst of a sender is available again, by `performance.now()`. */
  const senders = new LRUCache<string, { fullAt: number }>({ max: maxSenders });
  return (sender) => {
    const now = performance.now();
    const known = senders.get(sender);
    const next = Math.max(now, known?.fullAt ?? 0) + intervalMs;
    const waitMs = next - now - WINDOW_MS;
    // Less than 1 ms may be a rounding error of the sum of intervals.
    if (waitMs >= 1) return Math.ceil(waitMs / 1_000);
    if (known) known.fullAt = next;
    else senders.set(sender, { fullAt: next });
    return undefined;
  };
}
