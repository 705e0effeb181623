import type { Clock } from '../token/clock.ts';
import type { ErrorCode } from '../token/errors.ts';
import { servableUntil } from '../token/lifetime.ts';
import type { SdkToken } from '../token/sdk-token.ts';

const SOONEST_MS = 1_000;
const LATEST_MS = 300_000;

/**
 * Epoch ms at which a renewal that failed is tried again: after a quarter of the time the token may still be served,
 * within bounds and with jitter, so that attempts are rare while there is time and never in step. Where only our own
 * budget was in the way there is no reason to wait.
 */
export function retryAt(token: Pick<SdkToken, 'issuedAt' | 'expiresAt'>, code: ErrorCode, clock: Clock): number {
  const now = clock.now();
  const leftMs = servableUntil(token) - now;
  const delayMs = code === 'vendor_busy' ? SOONEST_MS : Math.min(LATEST_MS, Math.max(SOONEST_MS, leftMs / 4));
  return now + delayMs * (0.5 + clock.random());
}
