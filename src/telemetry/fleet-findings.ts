import type { ScheduleOutlook } from '../token/ports.ts';
import { type FoundFacts, SECOND_MS, THRESHOLDS } from './finding-facts.ts';

export interface KeyHolder {
  /** The id of the key with which it encrypts, and digests of that key and of the others with which it decrypts. */
  readonly keyRing?: { readonly id: string; readonly digests: readonly string[] } | undefined;
}

/** What the findings of the fleet need of a replica. */
export interface FleetReplica extends KeyHolder {
  readonly replica: string;
  readonly version: string;
  readonly configuration: string;
  readonly configuredAt: number;
  /** Epoch ms of the last summary of a replica that ended without a shutdown; `undefined`: it is alive. */
  readonly missingSince: number | undefined;
}

/** Findings that only the fleet shows. @param differentSince epoch ms; `undefined`: the replicas do not differ */
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
  const strangers = differentSince === undefined ? [] : withoutCommonKey(alive);
  if (strangers.length > 0) {
    const [reason, since] = [keysOf(strangers), differentSince];
    found.push({ code: 'configuration_differs', reason, since, replicas: namesOf(strangers) });
  } else if (differentSince !== undefined && now - differentSince >= THRESHOLDS.configurationMs) {
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

/** How the live replicas differ, and since when (epoch ms): the start of the latest group; `undefined`: they do not. */
export function differenceOf(replicas: readonly FleetReplica[]) {
  const groups = groupsOf(replicas.filter(({ missingSince }) => missingSince === undefined));
  if (groups.size < 2) return undefined;
  const starts = [...groups.values()].map((group) => Math.min(...group.map(({ configuredAt }) => configuredAt)));
  return { since: Math.max(...starts), groups: [...groups.keys()] };
}

/** The replicas that differ from the largest group with one version and configuration; all, if no group is largest. */
function differing(alive: readonly FleetReplica[]): readonly FleetReplica[] {
  const [largest, ...others] = [...groupsOf(alive).values()].sort((one, other) => other.length - one.length);
  return others[0]?.length === largest?.length ? alive : others.flat();
}

/** The replicas that lack the key with which another one encrypts, and those whose key another one lacks. */
function withoutCommonKey(alive: readonly FleetReplica[]): readonly FleetReplica[] {
  return alive.filter((one) => alive.some((other) => lacksKeyOf(one, other) || lacksKeyOf(other, one)));
}

/** Whether a replica lacks the key with which another one encrypts. */
export function lacksKeyOf({ keyRing: own }: KeyHolder, { keyRing: its }: KeyHolder): boolean {
  return own !== undefined && its !== undefined && !own.digests.includes(its.digests[0] ?? '');
}

/** The keys with which replicas encrypt: `k1 (a, b), k2 (c)`. Two keys may have the same id. */
function keysOf(replicas: readonly FleetReplica[]): string {
  const byKey = groupsOf(replicas, ({ keyRing }) => `${keyRing?.id} ${keyRing?.digests[0]}`);
  const sides = [...byKey].map(([key, group]) => `${key.split(' ')[0]} (${firstOf(namesOf(group)).join(', ')})`);
  return firstOf(sides.sort()).join(', ');
}

/** The version and the configuration. */
export function kindOf({ version, configuration }: Pick<FleetReplica, 'version' | 'configuration'>): string {
  return `${version} ${configuration}`;
}

/** The replicas by name: by version and configuration, unless `nameOf` is given. */
function groupsOf(
  replicas: readonly FleetReplica[],
  nameOf: (replica: FleetReplica) => string = kindOf,
): Map<string, FleetReplica[]> {
  const groups = new Map<string, FleetReplica[]>();
  for (const replica of replicas) {
    const name = nameOf(replica);
    groups.set(name, [...(groups.get(name) ?? []), replica]);
  }
  return groups;
}

function namesOf(replicas: readonly FleetReplica[]): string[] {
  return replicas.map(({ replica }) => replica).sort();
}

/** A sentence, a line of the log and a page show so many names. Without encryption keys, anyone can store more. */
const MAX_NAMES = 20;

export function firstOf(names: readonly string[]): readonly string[] {
  return names.length > MAX_NAMES ? [...names.slice(0, MAX_NAMES), '…'] : names;
}
