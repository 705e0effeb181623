import { FINDING_CODES, type FindingCode } from '../token/findings.ts';
import {
  type FoundBefore,
  type FoundFacts,
  isLong,
  isOutage,
  named,
  type ReplicaFacts,
  SECOND_MS,
  shareFinding,
  THRESHOLDS,
} from './finding-facts.ts';
import { vendorFindings } from './vendor-findings.ts';

/**
 * What one replica finds. With the sum of all counts, it is what the fleet finds.
 * @param before what it found the last time
 */
export function replicaFindings(facts: ReplicaFacts, before: FoundBefore = new Set()): FoundFacts[] {
  const found = [
    ...redisFindings(facts),
    ...vendorFindings(facts, before),
    ...sessionFindings(facts, before),
    ...clockFindings(facts),
  ];
  const { counts, reasons } = facts;
  if (counts.endedTokens > 0) found.push({ code: 'tokens_ended', count: counts.endedTokens });
  // Also if another finding explains it: apps get errors, which no cause alone says.
  const failing = shareFinding('failedReads', facts, before);
  return inOrder([...found, ...failing.map((one) => ({ ...one, ...named({ reason: reasons.reads }) }))]);
}

function redisFindings({ redis, monotonic }: ReplicaFacts): FoundFacts[] {
  if (!redis) return [];
  const { outage, refusedWrites, lastLoss } = redis;
  const found: FoundFacts[] = [];
  if (outage && isLong(outage, monotonic, THRESHOLDS.redisOutage)) {
    found.push({
      code: 'redis_unreachable',
      since: outage.failingSince,
      ...named({ reason: outage.lastFailure?.reason }),
    });
  }
  if (refusedWrites && refusedWrites.lastMonotonic - refusedWrites.sinceMonotonic >= THRESHOLDS.refusedWritesMs) {
    found.push({ code: 'redis_refuses_writes', since: refusedWrites.since, reason: refusedWrites.kind });
  }
  if (lastLoss && monotonic - lastLoss.monotonic < THRESHOLDS.dataLossMs) {
    found.push({ code: lastLoss.history === 'lost' ? 'redis_lost_data' : 'redis_went_back', since: lastLoss.at });
  }
  return found;
}

function sessionFindings(facts: ReplicaFacts, before: FoundBefore): FoundFacts[] {
  const { sessionServer, monotonic } = facts;
  const unchecked = shareFinding('uncheckedSessions', facts, before);
  const isDown = sessionServer !== undefined && isOutage(sessionServer, monotonic);
  const reason = named({ reason: sessionServer?.lastFailure?.reason });
  const fails =
    isDown && unchecked.length === 0
      ? [{ code: 'session_check_fails', since: sessionServer.failingSince, ...reason } as const]
      : unchecked.map((one) => ({ ...one, ...reason }));
  return [...fails, ...shareFinding('refusedSessions', facts, before)];
}

function clockFindings({ clockOffsetMs = 0 }: ReplicaFacts): FoundFacts[] {
  if (Math.abs(clockOffsetMs) < THRESHOLDS.clockMs) return [];
  return [{ code: 'clock_differs', seconds: Math.round(clockOffsetMs / SECOND_MS), reason: 'redis' }];
}

export function inOrder<Found extends { readonly code: FindingCode }>(found: readonly Found[]): Found[] {
  return [...found].sort((one, other) => FINDING_CODES.indexOf(one.code) - FINDING_CODES.indexOf(other.code));
}
