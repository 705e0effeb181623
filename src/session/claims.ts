import { parse } from 'lossless-json';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import { APP_NAME_PATTERN, ASSIGNED_REGION_PATTERN, isUnionId, UNION_ID_MAX_LENGTH } from '../token/subject.ts';
import { ExplainedError, type Text, untranslated } from '../token/text.ts';
import { sessionCheckUnavailable } from './session-server.ts';

/** The unit of a point in time since 1970. */
type TimeUnit = 's' | 'ms';

/** Claim names, or dotted paths into nested claims. A claim whose own name has dots takes precedence over the path. */
export interface ClaimNames {
  readonly unionId: string;
  readonly region: string;
  /** Without it, sessions are not bound to an app. */
  readonly app: string | undefined;
  readonly issuedAt: string;
  readonly expiresAt: string;
  /** The unit of `issuedAt` and `expiresAt`. `nbf` is in seconds. */
  readonly timeUnit: TimeUnit;
}

/**
 * Named as the modes of sessions. A JWT says its times as numbers, and has an end. In an answer of a session server,
 * PHP and others write times from a database as strings, and a session may have no end.
 */
export type ClaimSource = 'jwt' | 'introspection' | 'forward';

/**
 * Parses claims. An account that is a number becomes a bigint if it is a JSON integer: `JSON.parse` would round a large
 * one, and so give two accounts one id. Only a session with a number is parsed a second time, which takes 3 µs.
 * @returns `undefined` if the text is not a JSON object
 */
export function parseClaims(text: string, { unionId }: ClaimNames): object | undefined {
  try {
    const claims: unknown = JSON.parse(text);
    if (!(claims instanceof Object) || Array.isArray(claims)) return undefined;
    if (typeof claimAt(claims, unionId) !== 'number') return claims;
    return { ...claims, [unionId]: claimAt(parse(text, undefined, EXACT_INTEGERS) as object, unionId) };
  } catch {
    return undefined;
  }
}

/** Of several members of one name, the last one counts, as in `JSON.parse`. */
const EXACT_INTEGERS = {
  parseNumber: (digits: string) => (/[.eE]/.test(digits) ? Number(digits) : BigInt(digits)),
  onDuplicateKey: ({ newValue }: { readonly newValue: unknown }) => newValue,
};

const WHOLE_NUMBER = /^\d+$/;

/** Clouds stamp sessions with their own clock, often as valid from the moment of issue. It may be this far ahead. */
const MAX_AHEAD_MS = 60_000;

/** The last second of the year 9999. A larger number is a time in milliseconds: those of today are 1.8e12. */
const MAX_SECONDS = 253_402_300_799;

/** The claims by which an OAuth server says what kind of token it is. */
const KIND_CLAIMS = ['token_type', 'token_use', 'typ'];

/** The kinds that are no access token. */
const OTHER_TOKEN = /refresh|offline|logout/i;

/** The member of the claim `events` that makes a JWT a logout token. */
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

const REGION_IN_ANY_CASE = new RegExp(ASSIGNED_REGION_PATTERN, 'i');

/**
 * Reads the principal from claims that {@link parseClaims} returned and that are already verified.
 * @throws BrokerError `session_expired`; `session_invalid`, with a detail that names the claim and the allowed values,
 *   never the actual value; `session_check_unavailable` if the account is one of {@link NOBODY}, or if an answer of a
 *   session server does not say enough: without an account in mode `forward`, it may be the answer to a failure, and
 *   without a time of issue that is a number, the erasure of an account would refuse also its later sessions
 */
export function principalFrom(claims: object, names: ClaimNames, source: ClaimSource, clock: Clock): Principal {
  const unionId = unionIdFrom(claimAt(claims, names.unionId), names.unionId, source);
  const expiresAt = endFrom(claimAt(claims, names.expiresAt), names, source, clock);
  pastFrom(claimAt(claims, 'nbf'), 'nbf', 's', source, clock);
  return {
    unionId,
    region: regionFrom(claimAt(claims, names.region), names.region),
    app: names.app === undefined ? undefined : appFrom(claimAt(claims, names.app), names.app),
    issuedAt: pastFrom(claimAt(claims, names.issuedAt), names.issuedAt, names.timeUnit, source, clock),
    expiresAt: expiresAt ?? Number.MAX_SAFE_INTEGER,
  };
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
    throw new BrokerError('session_invalid', { detail: SESSION_REASONS.anotherKind });
  }
  if (kinds.some((kind) => kind.toLowerCase() === 'dpop') || isPresent(claimAt(claims, 'cnf'))) {
    throw new BrokerError('session_invalid', { detail: SESSION_REASONS.boundToClient });
  }
}

/** A claim, and why a session with it is refused; `undefined` if it is not. */
export interface CheckedClaim {
  /** Its name or path. */
  readonly name: string;
  /** `undefined` if the session lacks it. */
  readonly value: unknown;
  readonly problem: Text | undefined;
}

/** Checks each claim that {@link principalFrom} reads, by the same rules, also after one that is refused. */
export function checkClaims(claims: object, names: ClaimNames, source: ClaimSource, clock: Clock): CheckedClaim[] {
  const checked = (name: string, read: (value: unknown) => void): CheckedClaim => {
    const value = claimAt(claims, name);
    return { name, value, problem: problemOf(() => read(value)) };
  };
  const { unionId, region, app, issuedAt } = names;
  const all: Readonly<Record<keyof Principal | 'notBefore', CheckedClaim | undefined>> = {
    expiresAt: checked(names.expiresAt, (value) => endFrom(value, names, source, clock)),
    notBefore: checked('nbf', (value) => pastFrom(value, 'nbf', 's', source, clock)),
    issuedAt: checked(issuedAt, (value) => pastFrom(value, issuedAt, names.timeUnit, source, clock)),
    unionId: checked(unionId, (value) => unionIdFrom(value, unionId, source)),
    region: checked(region, (value) => regionFrom(value, region)),
    app: app === undefined ? undefined : checked(app, (value) => appFrom(value, app)),
  };
  return Object.values(all).filter((claim) => claim !== undefined);
}

/** The reason of the error that `check` throws; `undefined` if it throws none. */
export function problemOf(check: () => void): Text | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return error instanceof Error ? reasonOf(error) : untranslated('unknown');
  }
}

/** The text for an app does not say what made the check of a session impossible. The cause does. */
export function reasonOf(error: Error): Text {
  if (error instanceof BrokerError && error.code === 'session_expired') return SESSION_REASONS.expired;
  const source = error.cause instanceof Error ? error.cause : error;
  return source instanceof ExplainedError ? source.reason : untranslated(source.message);
}

/** A claim that is `null` is not there. */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/**
 * What frameworks say if nobody is logged in: a database or Go for a missing id, JavaScript and Java for a missing
 * value, Spring Security for a request without a login. As an account, it would be one that strangers share.
 */
const NOBODY: ReadonlySet<string> = new Set(['0', '-1', 'null', 'undefined', 'anonymousUser']);

function unionIdFrom(value: unknown, name: string, source: ClaimSource): string {
  const id = typeof value === 'bigint' ? String(value) : value;
  if (typeof id === 'string' && NOBODY.has(id)) throw undecidedClaim(name, SESSION_REASONS.nobody(id), source);
  if (typeof id === 'string' && isUnionId(id)) return id;
  const rule = SESSION_REASONS.account(UNION_ID_MAX_LENGTH);
  if (source !== 'forward') throw invalidClaim(name, rule);
  throw undecidedClaim(name, isPresent(value) ? rule : SESSION_REASONS.missingAccount, source);
}

/** @param rule that the claim breaks, for a session that says it itself */
export function invalidClaim(name: string, rule: Text): BrokerError {
  return new BrokerError('session_invalid', { detail: SESSION_REASONS.claim(name, rule) });
}

/** @param rule that the claim breaks, by what may be a mistake of the customer cloud */
function undecidedClaim(name: string, rule: Text, source: ClaimSource): BrokerError {
  const reason = source === 'jwt' ? SESSION_REASONS.claim(name, rule) : SESSION_REASONS.answeredClaim(name, rule);
  return sessionCheckUnavailable(new ExplainedError(reason));
}

function regionFrom(value: unknown, name: string): string | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'string' && REGION_IN_ANY_CASE.test(value)) return value.toUpperCase();
  throw invalidClaim(name, SESSION_REASONS.region);
}

function appFrom(value: unknown, name: string): string | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'string' && APP_NAME_PATTERN.test(value)) return value;
  throw invalidClaim(name, SESSION_REASONS.app);
}

/** @returns epoch ms; `undefined` if the session does not say when it ends */
function endFrom(value: unknown, names: ClaimNames, source: ClaimSource, clock: Clock): number | undefined {
  const { expiresAt: name, timeUnit } = names;
  const at = epochMsFrom(value, name, timeUnit, source);
  if (at === undefined && source === 'jwt') throw invalidClaim(name, SESSION_REASONS.missing);
  if (at !== undefined && at <= clock.now()) throw new BrokerError('session_expired');
  return at;
}

/** Reads a time that may not be in the future. @returns epoch ms; `undefined` if the session does not say it */
function pastFrom(value: unknown, name: string, unit: TimeUnit, source: ClaimSource, clock: Clock): number | undefined {
  const at = epochMsFrom(value, name, unit, source);
  if (at === undefined || at <= clock.now() + MAX_AHEAD_MS) return at;
  throw invalidClaim(name, SESSION_REASONS.tooFarAhead(MAX_AHEAD_MS / 1_000));
}

/** With a wrong unit, a session would never end, or would survive the erasure of its account. */
function epochMsFrom(value: unknown, name: string, unit: TimeUnit, source: ClaimSource): number | undefined {
  const time = numberFrom(value, name, source);
  if (time === undefined) return undefined;
  if (unit === 's') {
    if (time <= MAX_SECONDS) return time * 1_000;
    throw invalidClaim(name, SESSION_REASONS.wrongUnit('seconds', 'milliseconds'));
  }
  if (time < MAX_SECONDS + 1) throw invalidClaim(name, SESSION_REASONS.wrongUnit('milliseconds', 'seconds'));
  if (time <= MAX_SECONDS * 1_000 + 999) return time;
  throw invalidClaim(name, SESSION_REASONS.wrongUnit('milliseconds', 'microseconds'));
}

function numberFrom(value: unknown, name: string, source: ClaimSource): number | undefined {
  if (value === undefined || typeof value === 'number') return value;
  if (source === 'jwt') throw invalidClaim(name, SESSION_REASONS.mustBeNumber);
  if (value === null) return undefined;
  if (typeof value === 'string' && WHOLE_NUMBER.test(value)) return Number(value);
  throw undecidedClaim(name, SESSION_REASONS.noNumber, source);
}

/** The value of a claim, by its name or path; `undefined` if there is none. */
export function claimAt(claims: object, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name as keyof typeof claims];
  return name.includes('.') ? name.split('.').reduce<unknown>(ownValue, claims) : undefined;
}

function ownValue(holder: unknown, name: string): unknown {
  const isHolder = typeof holder === 'object' && holder !== null && Object.hasOwn(holder, name);
  return isHolder ? (holder as Record<string, unknown>)[name] : undefined;
}
