import { hash } from 'node:crypto';
import type { Clock } from './clock.ts';
import { ERRORS, type ErrorCode } from './errors.ts';
import type { SdkToken, TokenRecord } from './sdk-token.ts';
import { type SubjectId, subjectId } from './subject.ts';

type Life = Pick<SdkToken, 'issuedAt' | 'expiresAt'>;

/** The shares of a token's life between which it is renewed: `0 < from <= to < 1`. */
export interface RefreshShare {
  readonly from: number;
  readonly to: number;
}

/**
 * Epoch ms at which the token is due for renewal. Spread over `share` by a hash of subject and generation, so that
 * tokens issued together are not due together, and every replica computes the same instant. Never later than
 * {@link waitFrom}.
 */
export function renewAt(token: Life, share: RefreshShare, id: SubjectId, generation: number): number {
  const spread = hash('sha256', `${id}${generation}`, 'buffer').readUInt32BE() / 2 ** 32;
  return Math.min(token.issuedAt + lifeOf(token) * (share.from + (share.to - share.from) * spread), waitFrom(token));
}

/** Epoch ms from which a read waits for a renewal before it falls back on this token. */
export function waitFrom(token: Life): number {
  return token.expiresAt - Math.min(60_000, 0.1 * lifeOf(token));
}

/** Epoch ms up to which the token may be handed out; past it, never. */
export function servableUntil(token: Life): number {
  return token.expiresAt - Math.min(10_000, 0.05 * lifeOf(token));
}

function lifeOf(token: Life): number {
  return token.expiresAt - token.issuedAt;
}

const SHORTEST_MS = 1_000;

/** Most ms a login may take. One that renews leaves time for another replica to try again before the token ends. */
export function loginBudget(known: TokenRecord | undefined, now: number, longestMs: number): number {
  const leftMs = known ? servableUntil(known.token) - now : 0;
  return leftMs <= 0 ? longestMs : Math.min(longestMs, Math.max(SHORTEST_MS, leftMs / 2));
}

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

/** For how long a failure is counted. */
export const FAILURE_MEMORY_MS = 60_000;
const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/** Ms for which a subject is left alone after so many failures in a row: the first one may be tried again at once. */
export function coolDownMs(failures: number): number {
  return failures < 2 ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 2));
}

/** Whether a failure says that the next login will probably fail too, but not for ever. */
export function coolsDown(code: ErrorCode): boolean {
  return code !== 'vendor_busy' && code.startsWith('vendor_') && ERRORS[code].retryable;
}

/** When tokens are renewed, and when no longer. */
export interface RefreshPolicy {
  /** `proactive`: in the background as they fall due. `on-demand`: only when an app reads one that is due. */
  readonly mode: 'proactive' | 'on-demand';
  readonly share: RefreshShare;
  /** A token renewed this many times in a row without being read is let go; at least 1. */
  readonly unreadLimit: number;
}

/**
 * Epoch ms at which a read, or the refresh worker, should see to a newer token.
 * @param id the subject's, where it is at hand
 */
export function refreshAt(
  record: TokenRecord,
  policy: RefreshPolicy,
  id: SubjectId = subjectId(record.subject),
): number {
  return renewAt(record.token, policy.share, id, record.generation);
}

/**
 * Epoch ms at which the refresh worker is to look at the record next: to renew it, or to see it off.
 * @param id the subject's, where it is at hand
 */
export function dueAt(record: TokenRecord, policy: RefreshPolicy, id?: SubjectId): number {
  return isRenewedInBackground(record, policy) ? refreshAt(record, policy, id) : record.token.expiresAt;
}

/** Whether the record is renewed in the background when it falls due. */
export function isRenewedInBackground(record: TokenRecord, { mode, unreadLimit }: RefreshPolicy): boolean {
  return mode === 'proactive' && (record.read || record.unreadRenewals < unreadLimit);
}
