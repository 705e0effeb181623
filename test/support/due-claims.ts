import type { DueSubjects, Lease, TokenStore } from '../../src/token/ports.ts';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';

/** The lease of a due subject. */
export interface DueLease {
  readonly lease: Lease;
  readonly record: TokenRecord;
  readonly region: string | undefined;
  readonly erasedAt: number | undefined;
}

export interface DueLeases extends DueSubjects {
  readonly claims: readonly DueLease[];
  /** Number of expired tokens that were deleted, and that an app had read. */
  readonly endedRead: number;
}

/** Claims due subjects and acquires their leases, as the worker does. A lease without a token is released. */
export async function claimLeases(
  { dueQueue, terminals }: Pick<TokenStore, 'dueQueue' | 'terminals'>,
  limit: number,
  leaseMs = LEASE_MS,
): Promise<DueLeases> {
  const due = await dueQueue.claim(limit);
  const claims: DueLease[] = [];
  let endedRead = 0;
  for (const id of due.ids) {
    const answer = await terminals.acquire(id, leaseMs);
    if ('endedRead' in answer && answer.endedRead) endedRead += 1;
    if (answer.kind !== 'granted') continue;
    const { lease, current, region, erasedAt } = answer;
    if (current) claims.push({ lease, record: current, region, erasedAt });
    else await terminals.release(lease, undefined);
  }
  return { ...due, claims, endedRead };
}
