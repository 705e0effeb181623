import { FINDING_CODES, type FindingCode } from '../token/findings.ts';
import {
  type FoundFacts,
  isLong,
  isOutage,
  type ReplicaFacts,
  SECOND_MS,
  type StandingShares,
  shareFinding,
  THRESHOLDS,
} from './finding-facts.ts';
import { vendorFindings } from './vendor-findings.ts';

/** Returns the findings of one replica, or of the fleet if the counts are the sums of all replicas. */
export function replicaFindings(facts: ReplicaFacts, standing: StandingShares = new Set()): FoundFacts[] {
  const { counts, reasons } = facts;
  const found = [
    ...redisFindings(facts),
    ...vendorFindings(facts, standing),
    ...sessionFindings(facts, standing),
    ...clockFindings(facts),
  ];
  if (counts.endedTokens > 0) found.push({ code: 'tokens_ended', count: counts.endedTokens });
  // Also if another finding explains it: apps get errors, which no cause alone says.
  found.push(...shareFinding('failedReads', facts, standing, { reason: reasons.reads }));
  return inOrder(found.map(withoutUnknown));
}

function redisFindings({ redis, monotonic }: ReplicaFacts): FoundFacts[] {
  if (!redis) return [];
  const { outage, refusedWrites, lastLoss } = redis;
  const found: FoundFacts[] = [];
  if (outage && isLong(outage, monotonic, THRESHOLDS.redisOutage)) {
    found.push({ code: 'redis_unreachable', since: outage.failingSince, reason: outage.lastFailure?.reason });
  }
  if (refusedWrites && refusedWrites.lastMonotonic - refusedWrites.sinceMonotonic >= THRESHOLDS.refusedWritesMs) {
    found.push({ code: 'redis_refuses_writes', since: refusedWrites.since, reason: refusedWrites.kind });
  }
  if (lastLoss && monotonic - lastLoss.monotonic < THRESHOLDS.dataLossMs) {
    found.push({ code: lastLoss.history === 'lost' ? 'redis_lost_data' : 'redis_went_back', since: lastLoss.at });
  }
  return found;
}

function sessionFindings(facts: ReplicaFacts, standing: StandingShares): FoundFacts[] {
  const { sessionServer, monotonic } = facts;
  const reason = sessionServer?.lastFailure?.reason;
  const found = shareFinding('uncheckedSessions', facts, standing, { reason });
  if (found.length === 0 && sessionServer && isOutage(sessionServer, monotonic)) {
    found.push({ code: 'session_check_fails', since: sessionServer.failingSince, reason });
  }
  return [...found, ...shareFinding('refusedSessions', facts, standing)];
}

function clockFindings({ clockOffsetMs = 0 }: ReplicaFacts): FoundFacts[] {
  if (Math.abs(clockOffsetMs) < THRESHOLDS.clockMs) return [];
  return [{ code: 'clock_differs', seconds: Math.round(clockOffsetMs / SECOND_MS) }];
}

/** What is not known about a finding must not replace what another replica knows. */
function withoutUnknown(found: FoundFacts): FoundFacts {
  return Object.fromEntries(Object.entries(found).filter(([, fact]) => fact !== undefined)) as FoundFacts;
}

/** The most urgent first, and what is over last. */
export function inOrder<Found extends { readonly code: FindingCode; readonly over?: true | undefined }>(
  found: readonly Found[],
) {
  const place = ({ code, over }: Found) => FINDING_CODES.indexOf(code) + (over ? FINDING_CODES.length : 0);
  return [...found].sort((one, other) => place(one) - place(other));
}
