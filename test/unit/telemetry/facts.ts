import type { ReplicaFacts } from '../../../src/telemetry/finding-facts.ts';
import { NO_COUNTS, NO_SHARES } from '../../../src/telemetry/finding-facts.ts';
import type { Clock } from '../../../src/token/clock.ts';

type Now = Pick<Clock, 'now' | 'monotonic'>;

const NEVER_FAILED = { lastSuccessAt: undefined, lastFailure: undefined, failingSince: undefined, failures: 0 };
export const DOMAIN = { host: 'vendor.example', circuit: 'closed', clockOffsetMs: 0, ...NEVER_FAILED } as const;

/** Of a replica that has seen nothing yet. */
export function factsAt(clock: Now): ReplicaFacts {
  return {
    now: clock.now(),
    monotonic: clock.monotonic(),
    counts: NO_COUNTS,
    lately: NO_SHARES,
    reasons: {},
    redis: { outage: undefined, refusedWrites: undefined, losses: [] },
    vendorDomains: [DOMAIN],
    sessionServer: undefined,
    certificates: [],
    clockOffsetMs: 5,
  };
}

/** A system that has failed for `ms`, the last time `agoMs` ago. */
export function failingContact(clock: Now, reason: string, ms: number, failures: number, agoMs = 0) {
  return {
    lastSuccessAt: clock.now() - ms - 1_000,
    lastFailure: { at: clock.now() - agoMs, reason },
    failingSince: clock.now() - ms,
    failingSinceMonotonic: clock.monotonic() - ms,
    failedMonotonic: clock.monotonic() - agoMs,
    failures,
  };
}
