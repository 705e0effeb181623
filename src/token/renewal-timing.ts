import { hash } from 'node:crypto';
import type { Clock } from './clock.ts';
import { ERRORS, type ErrorCode } from './errors.ts';
import type { SdkToken, TokenRecord } from './sdk-token.ts';
import { type SubjectId, subjectId } from './subject.ts';

type Lifetime = Pick<SdkToken, 'issuedAt' | 'expiresAt'>;

/** How soon another replica takes over from a dead one. A live owner extends its leases, so a login may take longer. */
export const LEASE_MS = 5_000;

/** How long a claim hides a due subject from other workers, until its lease is acquired. */
export const HIDDEN_MS = 2_000;

/** A failed renewal is tried again after at least, and at most, this long (before jitter). */
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 300_000;

/** How long a failure counts as consecutive with the next one. */
export const FAILURE_MEMORY_MS = 60_000;
const FIRST_COOL_DOWN_MS = 500;
const MAX_FAILURES_COOL_DOWN_MS = 15_000;
/** The vendor may ask for a longer cool-down than the failures cause, up to this. */
export const MAX_COOL_DOWN_MS = 3_600_000;

/** The shares of a token's life between which it is renewed: `0 < from <= to < 1`. */
export interface RefreshShare {
  readonly from: number;
  readonly to: number;
}

/** When tokens are renewed, and when renewal stops. */
export interface RefreshPolicy {
  /** `proactive`: in the background when they are due. `on-demand`: only when an app reads a due token. */
  readonly mode: 'proactive' | 'on-demand';
  readonly share: RefreshShare;
  /** A token renewed this many times in a row without a read is not renewed again. At least 1. */
  readonly unreadLimit: number;
}

/**
 * Returns when a token is due for renewal, as epoch ms: a suspect one at once. A hash of subject and generation spreads
 * renewals over the policy's share, so tokens issued together are not due together, and every replica computes the same
 * time. Never later than {@link waitFrom}.
 * @param id the id of `record.subject`, if the caller has it
 */
export function refreshAt(
  { token, generation, subject, suspect }: TokenRecord,
  { share }: RefreshPolicy,
  id: SubjectId = subjectId(subject),
): number {
  if (suspect) return token.issuedAt;
  const spread = Number.parseInt(hash('sha256', `${id}${generation}`).slice(0, 8), 16) / 2 ** 32;
  return Math.min(token.issuedAt + lifeOf(token) * (share.from + (share.to - share.from) * spread), waitFrom(token));
}

/** Returns when the worker looks at the record next, as epoch ms: to renew the token, or to remove it at its end. */
export function dueAt(record: TokenRecord, policy: RefreshPolicy, id?: SubjectId): number {
  return isRenewedInBackground(record, policy) ? refreshAt(record, policy, id) : record.token.expiresAt;
}

/** {@link dueAt} of a read token. A worker looks no later at an unread one: an app may read it until that moment. */
export function dueOnceRead(record: TokenRecord, policy: RefreshPolicy, id?: SubjectId): number {
  return dueAt({ ...record, read: true }, policy, id);
}

/** Returns whether the worker renews the token when it is due. */
export function isRenewedInBackground(record: TokenRecord, { mode, unreadLimit }: RefreshPolicy): boolean {
  return mode === 'proactive' && (record.read || record.unreadRenewals < unreadLimit);
}

/** From this time (epoch ms) a read waits for a renewal before it falls back on the token. */
export function waitFrom(token: Lifetime): number {
  return token.expiresAt - Math.min(60_000, 0.1 * lifeOf(token));
}

/** The token is never served after this time (epoch ms). */
export function servableUntil(token: Lifetime): number {
  return token.expiresAt - Math.min(10_000, 0.05 * lifeOf(token));
}

/**
 * Returns when a failed renewal is tried again, as epoch ms: after a quarter of the time that the token may still be
 * served, with jitter. So retries are rare while there is time, and replicas do not retry in step. A full login budget
 * is no reason to wait longer than the login queue asks.
 * @param waitMs how long the login queue or the vendor asks to wait
 */
export function retryAt(token: Lifetime, code: ErrorCode, clock: Clock, waitMs?: number): number {
  const now = clock.now();
  if (code === 'vendor_busy' && waitMs !== undefined) return now + waitMs;
  const quarterMs = (servableUntil(token) - now) / 4;
  const delayMs = code === 'vendor_busy' ? MIN_RETRY_MS : Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, quarterMs));
  return now + Math.max(waitMs ?? 0, delayMs * (0.5 + clock.random()));
}

/** Returns how long no login is tried for an account after this many consecutive failures; after one, 0. */
export function coolDownMs(failures: number): number {
  return failures < 2 ? 0 : Math.min(MAX_FAILURES_COOL_DOWN_MS, FIRST_COOL_DOWN_MS * 2 ** (failures - 2));
}

/** Returns whether the failure suggests that the next login fails too, but that a later one may succeed. */
export function coolsDown(code: ErrorCode): boolean {
  return code !== 'vendor_busy' && code.startsWith('vendor_') && ERRORS[code].retryable;
}

/**
 * Returns whether the token before this one was still valid at `now` (epoch ms), as far as the record tells: a
 * background renewal replaced a token that an app had read, and the time that it left to that token is not over.
 */
export function replacedValidToken(
  token: Lifetime & Pick<TokenRecord, 'unreadRenewals'>,
  { mode, share }: RefreshPolicy,
  now: number,
): boolean {
  return mode === 'proactive' && token.unreadRenewals === 1 && now < token.issuedAt + lifeOf(token) * (1 - share.to);
}

function lifeOf(token: Lifetime): number {
  return token.expiresAt - token.issuedAt;
}
