import { type RefreshShare, renewAt } from './lifetime.ts';
import type { TokenRecord } from './sdk-token.ts';
import { type SubjectId, subjectId } from './subject.ts';

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
  return isRenewedUnasked(record, policy) ? refreshAt(record, policy, id) : record.token.expiresAt;
}

/** Whether the record is renewed in the background when it falls due. */
export function isRenewedUnasked(record: TokenRecord, { mode, unreadLimit }: RefreshPolicy): boolean {
  return mode === 'proactive' && (record.read || record.unreadRenewals < unreadLimit);
}
