import { FINDING_CODES, type FindingCode } from '../token/findings.ts';
import {
  type FoundFacts,
  isLong,
  isOutage,
  named,
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
  const failing = shareFinding('failedReads', facts, standing);
  found.push(...failing.map((one) => ({ ...one, ...named({ reason: reasons.reads }) })));
  return inOrder(found);
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

function sessionFindings(facts: ReplicaFacts, standing: StandingShares): FoundFacts[] {
  const { sessionServer, monotonic } = facts;
  const unchecked = shareFinding('uncheckedSessions', facts, standing);
  const isDown = sessionServer !== undefined && isOutage(sessionServer, monotonic);
  const reason = named({ reason: sessionServer?.lastFailure?.reason });
  const fails =
    isDown && unchecked.length === 0
      ? [{ code: 'session_check_fails', since: sessionServer.failingSince, ...reason } as const]
      : unchecked.map((one) => ({ ...one, ...reason }));
  return [...fails, ...shareFinding('refusedSessions', facts, standing)];
}

function clockFindings({ clockOffsetMs = 0 }: ReplicaFacts): FoundFacts[] {
  if (Math.abs(clockOffsetMs) < THRESHOLDS.clockMs) return [];
  return [{ code: 'clock_differs', seconds: Math.round(clockOffsetMs / SECOND_MS) }];
}

/** The most urgent first, and what is over last. */
export function inOrder<Found extends { readonly code: FindingCode; readonly over?: true }>(found: readonly Found[]) {
  const place = ({ code, over }: Found) => FINDING_CODES.indexOf(code) + (over ? FINDING_CODES.length : 0);
  return [...found].sort((one, other) => place(one) - place(other));
}
