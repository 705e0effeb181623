import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { checkUnavailable } from './check-unavailable.ts';
import { type ClaimNames, principalFrom } from './claims.ts';

/**
 * The principal in the claims a session server has just answered with. Their `exp` (epoch seconds) bounds it; without
 * one it has no end of its own.
 * @throws BrokerError `session_expired`, `session_invalid`; `session_check_unavailable` where `exp` is no number
 */
export function answeredPrincipal(claims: object, names: ClaimNames, clock: Clock): Principal {
  const expiresAt = endOf(claims);
  if (expiresAt <= clock.now()) throw new BrokerError('session_expired');
  return principalFrom(claims, names, expiresAt);
}

function endOf({ exp }: { exp?: unknown }): number {
  if (exp === undefined || exp === null) return Number.MAX_SAFE_INTEGER;
  if (typeof exp !== 'number') throw checkUnavailable(new Error('The exp that was answered is not a number'));
  return Math.min(exp * 1_000, Number.MAX_SAFE_INTEGER);
}
