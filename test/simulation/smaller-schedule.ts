import { runSchedule, type ScheduleResult } from './run-schedule.ts';
import type { FaultName, Scenario } from './scenario.ts';

/** New values of a scenario: of its numbers, and of the rates of its faults. */
export type Changes = Readonly<Record<string, number>>;

const NUMBERS = [
  'replicas',
  'subjects',
  'minutes',
  'skewMs',
  'vendorOffsetMs',
  'lossRate',
  'announcementLossRate',
] as const;
/** Rounds the length of a run up to this part of a minute. */
const MINUTE_PARTS = 100;

/** @throws RangeError for a name that the scenario does not have */
export function withChanges(scenario: Scenario, changes: Changes): Scenario {
  const perMinute: Record<string, number> = { ...scenario.perMinute };
  const numbers: Record<string, number> = {};
  for (const [name, value] of Object.entries(changes)) {
    if (name in perMinute) perMinute[name] = value;
    else if (NUMBERS.some((number) => number === name)) numbers[name] = value;
    else throw new RangeError(`a scenario has no number "${name}"`);
  }
  return { ...scenario, ...numbers, perMinute: perMinute as Scenario['perMinute'] };
}

/** `replicas=2,crash=0`, as the command line takes it. */
export function formatChanges(changes: Changes): string {
  return Object.entries(changes)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** @throws RangeError */
export function parseChanges(text: string): Changes {
  const changes = text
    .split(',')
    .filter(Boolean)
    .map((change) => {
      const [, name = '', value] = /^(\w+)=(\d+(?:\.\d+)?)$/.exec(change) ?? [];
      if (value === undefined) throw new RangeError(`"${change}" is not of the form name=number`);
      return [name, Number(value)] as const;
    });
  return Object.fromEntries(changes);
}

export interface Failure {
  readonly changes: Changes;
  readonly result: ScheduleResult;
}

/**
 * Makes a failing schedule smaller while it breaks the same invariant: without a fault, with fewer replicas or
 * subjects, or shorter. The seed stays the same, but each change gives another schedule, so the result need not be the
 * smallest.
 */
export async function smallerFailure(scenario: Scenario, seed: number, result: ScheduleResult): Promise<Failure> {
  const invariant = result.violations[0]?.invariant;
  let failure: Failure = { changes: {}, result };
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    for (const change of simplerValues(withChanges(scenario, failure.changes), failure.result)) {
      const changes = { ...failure.changes, ...change };
      const smaller = await runSchedule(withChanges(scenario, changes), seed);
      if (smaller.violations[0]?.invariant !== invariant) continue;
      failure = { changes, result: smaller };
      isSmaller = true;
      break;
    }
  }
  return failure;
}

/** The next steps to a smaller scenario, the one that removes most first. */
function simplerValues(scenario: Scenario, { violations }: ScheduleResult): Changes[] {
  const { replicas, subjects, minutes, perMinute } = scenario;
  const failedAtMinute = Math.ceil(((violations[0]?.atMs ?? 0) / 60_000) * MINUTE_PARTS) / MINUTE_PARTS;
  const shorter = [failedAtMinute, Math.ceil((minutes / 2) * MINUTE_PARTS) / MINUTE_PARTS];
  return [
    ...(Object.keys(perMinute) as FaultName[]).filter((name) => perMinute[name] > 0).map((name) => ({ [name]: 0 })),
    ...(['lossRate', 'announcementLossRate', 'skewMs', 'vendorOffsetMs'] as const)
      .filter((name) => scenario[name] !== 0)
      .map((name) => ({ [name]: 0 })),
    ...(replicas > 1 ? [{ replicas: replicas - 1 }] : []),
    ...(subjects > 1 ? [{ subjects: Math.ceil(subjects / 2) }, { subjects: subjects - 1 }] : []),
    ...shorter.filter((value) => value > 0 && value < minutes).map((value) => ({ minutes: value })),
  ];
}
