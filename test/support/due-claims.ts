import type { DueSubjects, Lease, TokenStore } from '../../src/token/ports.ts';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import type { SubjectId } from '../../src/token/subject.ts';

/** The lease of a due subject. */
export interface DueLease {
  readonly lease: Lease;
  readonly record: TokenRecord;
  readonly region: string | undefined;
  readonly sessionsEndedAt: number | undefined;
}

export interface DueLeases extends DueSubjects {
  readonly claims: readonly DueLease[];
  /** Number of expired tokens that were deleted, and that an app had read. */
  readonly endedRead: number;
}

/** Takes the lease of a subject for the test. */
export async function takeLease(
  store: Pick<TokenStore, 'terminals'>,
  id: SubjectId,
  durationMs = LEASE_MS,
): Promise<Lease> {
  const answer = await store.terminals.acquire(id, durationMs);
  if (answer.kind !== 'granted') throw new Error(`no lease: ${answer.kind}`);
  return answer.lease;
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
    const { lease, current, region, sessionsEndedAt } = answer;
    if (current) claims.push({ lease, record: current, region, sessionsEndedAt });
    else await terminals.release(lease, undefined);
  }
  return { ...due, claims, endedRead };
}
