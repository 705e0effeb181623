import type { ScheduleOutlook } from '../token/ports.ts';
import { type FoundFacts, SECOND_MS, THRESHOLDS } from './finding-facts.ts';

/** What the findings of the fleet need of a replica. */
export interface FleetReplica {
  readonly replica: string;
  readonly version: string;
  readonly configuration: string;
  readonly configuredAt: number;
  /** Epoch ms of the last summary of a replica that ended without a shutdown; `undefined`: it is alive. */
  readonly missingSince: number | undefined;
}

/**
 * Returns the findings that only the whole fleet shows.
 * @param differentSince since when the replicas are known to differ, epoch ms; `undefined`: they do not
 */
export function fleetFindings(
  replicas: readonly FleetReplica[],
  schedule: ScheduleOutlook | undefined,
  now: number,
  differentSince: number | undefined,
): FoundFacts[] {
  const found: FoundFacts[] = [];
  const missing = replicas.filter(({ missingSince }) => missingSince !== undefined);
  const alive = replicas.filter(({ missingSince }) => missingSince === undefined);
  if (missing.length > 0) {
    const since = Math.min(...missing.map(({ missingSince }) => missingSince ?? now));
    found.push({ code: 'replica_missing', count: missing.length, since, replicas: namesOf(missing) });
  }
  if (differentSince !== undefined && now - differentSince >= THRESHOLDS.configurationMs) {
    const different = differing(alive);
    // Without a count, none of them is the odd one.
    const count = different.length < alive.length ? { count: different.length } : {};
    found.push({ code: 'configuration_differs', ...count, since: differentSince, replicas: namesOf(different) });
  }
  if (schedule && schedule.overdueMs >= THRESHOLDS.overdueMs) {
    const [count = 0] = schedule.dueWithin;
    found.push({ code: 'renewals_late', count, seconds: Math.round(schedule.overdueMs / SECOND_MS) });
  }
  return found;
}

/**
 * How the replicas that are alive differ: the versions and configurations, and since when, as far as their own times
 * tell, epoch ms: since the first replica of the latest group. `undefined`: they do not differ.
 */
export function differenceOf(replicas: readonly FleetReplica[]) {
  const groups = groupsOf(replicas.filter(({ missingSince }) => missingSince === undefined));
  if (groups.size < 2) return undefined;
  const starts = [...groups.values()].map((group) => Math.min(...group.map(({ configuredAt }) => configuredAt)));
  return { since: Math.max(...starts), groups: [...groups.keys()] };
}

/**
 * The replicas that differ from the largest group with one version and one configuration. All, if no group is the
 * largest.
 */
function differing(alive: readonly FleetReplica[]): readonly FleetReplica[] {
  const [largest, ...others] = [...groupsOf(alive).values()].sort((one, other) => other.length - one.length);
  return others[0]?.length === largest?.length ? alive : others.flat();
}

/** The replicas by version and configuration. */
function groupsOf(replicas: readonly FleetReplica[]): Map<string, FleetReplica[]> {
  const groups = new Map<string, FleetReplica[]>();
  for (const replica of replicas) {
    const name = `${replica.version} ${replica.configuration}`;
    groups.set(name, [...(groups.get(name) ?? []), replica]);
  }
  return groups;
}

function namesOf(replicas: readonly FleetReplica[]): string[] {
  return replicas.map(({ replica }) => replica).sort();
}
