import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { UNION_ID_MAX_LENGTH } from '../token/subject.ts';
import { checkUnavailable } from './session-server.ts';

/**
 * Where a principal stands in a session's claims: a claim's name, or a dotted path into nested claims. A claim whose
 * name itself holds dots (`https://example.com/union_id`) wins over the path.
 */
export interface ClaimNames {
  readonly unionId: string;
  readonly region: string;
  /** Without it, sessions are bound to no app. */
  readonly app?: string | undefined;
}

/** The name of an edition of the app. */
const APP_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Reads who a session belongs to out of claims already known to be genuine.
 * @param expiresAt epoch ms past which the session is not to be believed
 * @throws BrokerError `session_invalid`, naming the claim and what it must be, never what it is
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

function unionIdFrom(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '' && value.isWellFormed() && isShortEnough(value)) return value;
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be a string of 1 to ${UNION_ID_MAX_LENGTH} Unicode characters`,
  });
}

/** Characters are counted, which may be two of a string's units each. */
function isShortEnough(text: string): boolean {
  return text.length <= UNION_ID_MAX_LENGTH || [...text].length <= UNION_ID_MAX_LENGTH;
}

function regionFrom(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && /^[A-Za-z]{2}$/.test(value)) return value.toUpperCase();
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be a two-letter country code (ISO 3166-1 alpha-2) where it is present`,
  });
}

function appFrom(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && APP_PATTERN.test(value)) return value;
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" where it is present`,
  });
}

function epochMs(seconds: unknown): number | undefined {
  const ms = typeof seconds === 'number' ? seconds * 1_000 : Number.NaN;
  return Number.isFinite(ms) ? ms : undefined;
}

function claimAt(claims: object, name: string): unknown {
  if (Object.hasOwn(claims, name)) return ownValue(claims, name);
  return name.includes('.') ? name.split('.').reduce<unknown>(ownValue, claims) : undefined;
}

function ownValue(holder: unknown, name: string): unknown {
  return typeof holder === 'object' && holder !== null && Object.hasOwn(holder, name)
    ? (holder as Record<string, unknown>)[name]
    : undefined;
}

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
