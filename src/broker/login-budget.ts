import { servableUntil } from '../token/lifetime.ts';
import type { TokenRecord } from '../token/sdk-token.ts';

const SHORTEST_MS = 1_000;

/** Most ms a login may take. One that renews leaves time for another replica to try again before the token ends. */
export function loginBudget(known: TokenRecord | undefined, now: number, longestMs: number): number {
  const leftMs = known ? servableUntil(known.token) - now : 0;
  return leftMs <= 0 ? longestMs : Math.min(longestMs, Math.max(SHORTEST_MS, leftMs / 2));
}
