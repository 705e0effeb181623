import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { APP_NAME_PATTERN, REGION_PATTERN, UNION_ID_MAX_LENGTH } from '../token/subject.ts';
import { sessionCheckUnavailable } from './session-server.ts';

/**
 * The claims that hold the parts of a principal. Each is a claim name or a dotted path into nested claims. A claim
 * whose own name contains dots (`https://example.com/union_id`) takes precedence over the path.
 */
export interface ClaimNames {
  readonly unionId: string;
  readonly region: string;
  /** Without it, sessions are not bound to an app. */
  readonly app?: string | undefined;
}

const REGION_IN_ANY_CASE = new RegExp(REGION_PATTERN, 'i');

/**
 * Reads the principal from claims that are already verified.
 * @param expiresAt epoch ms at which the session ends
 * @throws BrokerError `session_invalid`; the detail names the claim and the allowed values, never the actual value
 */
export function principalFrom(claims: object, names: ClaimNames, expiresAt: number): Principal {
  return {
    unionId: unionIdFrom(claimAt(claims, names.unionId), names.unionId),
    region: regionFrom(claimAt(claims, names.region), names.region),
    app: names.app === undefined ? undefined : appFrom(claimAt(claims, names.app), names.app),
    issuedAt: epochMs(claimAt(claims, 'iat')),
    expiresAt,
  };
}

/**
 * Reads the principal from the claims that a session server returned. Their `exp` (epoch seconds) is the end of the
 * session. Without `exp`, the session has no end of its own.
 * @throws BrokerError `session_expired`, `session_invalid`; `session_check_unavailable` if `exp` is not a number
 */
export function principalFromServer(claims: object, names: ClaimNames, clock: Clock): Principal {
  const expiresAt = expiresAtFrom(claims);
  if (expiresAt <= clock.now()) throw new BrokerError('session_expired');
  return principalFrom(claims, names, expiresAt);
}

function unionIdFrom(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '' && value.isWellFormed() && isShortEnough(value)) return value;
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be a string of 1 to ${UNION_ID_MAX_LENGTH} Unicode characters`,
  });
}

/** The limit counts code points, not the units of a JavaScript string. */
function isShortEnough(text: string): boolean {
  return [...text].length <= UNION_ID_MAX_LENGTH;
}

function regionFrom(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && REGION_IN_ANY_CASE.test(value)) return value.toUpperCase();
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be a two-letter country code (ISO 3166-1 alpha-2) if it is present`,
  });
}

function appFrom(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && APP_NAME_PATTERN.test(value)) return value;
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" if it is present`,
  });
}

function epochMs(seconds: unknown): number | undefined {
  const ms = typeof seconds === 'number' ? seconds * 1_000 : Number.NaN;
  return Number.isFinite(ms) ? ms : undefined;
}

function expiresAtFrom({ exp }: { exp?: unknown }): number {
  if (exp === undefined || exp === null) return Number.MAX_SAFE_INTEGER;
  if (typeof exp !== 'number') throw sessionCheckUnavailable(new Error('The claim exp in the answer is not a number'));
  return Math.min(exp * 1_000, Number.MAX_SAFE_INTEGER);
}

function claimAt(claims: object, name: string): unknown {
  const path = Object.hasOwn(claims, name) ? [name] : name.split('.');
  return path.reduce<unknown>(ownValue, claims);
}

function ownValue(holder: unknown, name: string): unknown {
  return typeof holder === 'object' && holder !== null && Object.hasOwn(holder, name)
    ? (holder as Record<string, unknown>)[name]
    : undefined;
}
