import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { APP_NAME_PATTERN, ASSIGNED_REGION_PATTERN, isTextUpTo, UNION_ID_MAX_LENGTH } from '../token/subject.ts';
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

/** The claims that are points in time, in seconds since 1970. */
const TIME_CLAIMS = ['iat', 'nbf', 'exp'];

const WHOLE_SECONDS = /^\d+$/;

/** Clouds stamp a session with their own clock, often as valid from the moment of issue. It may be ahead by this much. */
const MAX_AHEAD_MS = 60_000;

/** The last second of the year 9999. A later time was given in milliseconds: those of today are 1.8e12. */
const MAX_SECONDS = 253_402_300_799;

/** The claims by which an OAuth server says what kind of token it is. */
const KIND_CLAIMS = ['token_type', 'token_use', 'typ'];

/** The kinds that are no access token. */
const OTHER_TOKEN = /refresh|offline|logout/i;

/** The member of the claim `events` that makes a JWT a logout token. */
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

const REGION_IN_ANY_CASE = new RegExp(ASSIGNED_REGION_PATTERN, 'i');

/**
 * Reads the principal from claims that are already verified. Their times are numbers.
 * @param expiresAt epoch ms at which the session ends
 * @throws BrokerError `session_invalid`; the detail names the claim and the allowed values, never the actual value
 */
export function principalFrom(claims: object, names: ClaimNames, expiresAt: number, clock: Clock): Principal {
  requirePlausibleTimes(claims, clock);
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
 * session. Without `exp`, the session has no end of its own. A time may be a string of whole seconds: PHP and others read
 * numbers from a database as strings.
 * @throws BrokerError `session_expired`, `session_invalid`; `session_check_unavailable` if a time is not a number, because
 *   without `iat` the erasure of an account would refuse also its later sessions
 */
export function principalFromServer(answer: object, names: ClaimNames, clock: Clock): Principal {
  const claims = withNumericTimes(answer);
  return principalFrom(claims, names, requireUnexpired(claims, clock), clock);
}

/**
 * Refuses times in milliseconds, and a session that begins or was issued in the future. With such an `exp` a session would
 * never end, and with such an `iat` it would survive the erasure of its account.
 * @throws BrokerError `session_invalid`
 */
export function requirePlausibleTimes(claims: object, clock: Clock): void {
  for (const name of TIME_CLAIMS) {
    const value = claimAt(claims, name);
    if (typeof value !== 'number') continue;
    const refuse = (rule: string): never => {
      throw new BrokerError('session_invalid', { detail: `The session's claim ${name} must be ${rule}` });
    };
    if (value > MAX_SECONDS) refuse('in seconds since 1970, not in milliseconds');
    const isAhead = value * 1_000 > clock.now() + MAX_AHEAD_MS;
    if (isAhead && name !== 'exp') refuse(`at most ${MAX_AHEAD_MS / 1_000} s ahead of the broker's clock`);
  }
}

/**
 * Refuses tokens of an OAuth server that are no sessions of an app: refresh tokens, logout tokens (OpenID Connect
 * Back-Channel Logout §2.4), and access tokens that are bound to a key or a certificate of the client (RFC 9449,
 * RFC 8705). The broker cannot verify such a binding, so a stolen token would be accepted.
 * @throws BrokerError `session_invalid`
 */
export function requireAccessToken(claims: object): void {
  const kinds = KIND_CLAIMS.map((name) => claimAt(claims, name)).filter((kind) => typeof kind === 'string');
  if (kinds.some((kind) => OTHER_TOKEN.test(kind)) || isPresent(ownValue(claimAt(claims, 'events'), LOGOUT_EVENT))) {
    throw new BrokerError('session_invalid', {
      detail: 'The session must be an access token, not another kind of token',
    });
  }
  if (kinds.some((kind) => kind.toLowerCase() === 'dpop') || isPresent(claimAt(claims, 'cnf'))) {
    throw new BrokerError('session_invalid', {
      detail: 'The session is bound to a key of its client (cnf), which the broker cannot verify',
    });
  }
}

/** A claim, and why a session with it is refused; `undefined` if it is not. */
export interface CheckedClaim {
  /** Its name or path. */
  readonly name: string;
  /** `undefined` if the session lacks it. */
  readonly value: unknown;
  readonly problem: string | undefined;
}

/** Checks each claim that {@link principalFromServer} reads, by the same rules, also after one that is refused. */
export function checkServerClaims(answer: object, names: ClaimNames, clock: Clock): CheckedClaim[] {
  const times = TIME_CLAIMS.map((name): CheckedClaim => {
    const value = claimAt(answer, name);
    const check = () => {
      const claims = withNumericTimes({ [name]: value });
      requireUnexpired(claims, clock);
      requirePlausibleTimes(claims, clock);
    };
    return { name, value, problem: problemOf(check) };
  });
  const hasTimes = times.every(({ problem }) => problem === undefined);
  return [...times, ...checkClaims(hasTimes ? withNumericTimes(answer) : answer, names)];
}

/** Checks each claim that {@link principalFrom} reads, except times, by the same rules, also after one that is refused. */
export function checkClaims(claims: object, names: ClaimNames): CheckedClaim[] {
  const checked = (name: string, read: (value: unknown) => void): CheckedClaim => {
    const value = claimAt(claims, name);
    return { name, value, problem: problemOf(() => read(value)) };
  };
  const { unionId, region, app } = names;
  return [
    checked(unionId, (value) => unionIdFrom(value, unionId)),
    checked(region, (value) => regionFrom(value, region)),
    ...(app === undefined ? [] : [checked(app, (value) => appFrom(value, app))]),
  ];
}

/** The reason of the error that `check` throws; `undefined` if it throws none. */
export function problemOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof Error)) return 'unknown';
    // The text for an app does not say which claim made the check impossible.
    return error.cause instanceof Error ? error.cause.message : error.message;
  }
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function unionIdFrom(value: unknown, name: string): string {
  if (typeof value === 'string' && isTextUpTo(UNION_ID_MAX_LENGTH, value)) return value;
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be a string of 1 to ${UNION_ID_MAX_LENGTH} Unicode characters`,
  });
}

function regionFrom(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && REGION_IN_ANY_CASE.test(value)) return value.toUpperCase();
  throw new BrokerError('session_invalid', {
    detail: `The session's claim ${name} must be a two-letter country code that ISO 3166-1 assigns (GB, not UK), if it is present`,
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
  return typeof seconds === 'number' && Number.isFinite(seconds * 1_000) ? seconds * 1_000 : undefined;
}

function withNumericTimes(answer: object): object {
  const times = TIME_CLAIMS.map((name) => [name, secondsFrom(claimAt(answer, name), name)]);
  return { ...answer, ...Object.fromEntries(times) };
}

function secondsFrom(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number') return value;
  if (typeof value === 'string' && WHOLE_SECONDS.test(value)) return Number(value);
  throw sessionCheckUnavailable(new Error(`The claim ${name} in the answer is not a number`));
}

/** @returns epoch ms at which the session ends @throws BrokerError `session_expired` */
function requireUnexpired(claims: object, clock: Clock): number {
  const expiresAt = Math.min(epochMs(claimAt(claims, 'exp')) ?? Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER);
  if (expiresAt <= clock.now()) throw new BrokerError('session_expired');
  return expiresAt;
}

function claimAt(claims: object, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name as keyof typeof claims];
  return name.includes('.') ? name.split('.').reduce<unknown>(ownValue, claims) : undefined;
}

function ownValue(holder: unknown, name: string): unknown {
  const isHolder = typeof holder === 'object' && holder !== null && Object.hasOwn(holder, name);
  return isHolder ? (holder as Record<string, unknown>)[name] : undefined;
}
