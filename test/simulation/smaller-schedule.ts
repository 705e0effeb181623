import { runSchedule, type ScheduleResult } from './run-schedule.ts';
import { FAULT_NAMES, type FaultName, type Scenario } from './scenario.ts';

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
  const perMinute: Partial<Record<string, number>> = { ...scenario.perMinute };
  const numbers: Record<string, number> = {};
  for (const [name, value] of Object.entries(changes)) {
    if (FAULT_NAMES.some((fault) => fault === name)) perMinute[name] = value;
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
 * Makes a failing schedule smaller while it breaks the same rule: without a fault, with fewer replicas or
 * subjects, or shorter. The seed stays the same, but each change gives another schedule, so the result need not be the
 * smallest.
 */
export async function smallerFailure(scenario: Scenario, seed: number, result: ScheduleResult): Promise<Failure> {
  const rule = result.findings[0]?.rule;
  let failure: Failure = { changes: {}, result };
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    for (const change of simplerValues(withChanges(scenario, failure.changes), failure.result)) {
      const changes = { ...failure.changes, ...change };
      const smaller = await runSchedule(withChanges(scenario, changes), seed);
      if (smaller.findings[0]?.rule !== rule) continue;
      failure = { changes, result: smaller };
      isSmaller = true;
      break;
    }
  }
  return failure;
}

/** The next steps to a smaller scenario, the one that removes most first. */
function simplerValues(scenario: Scenario, { findings }: ScheduleResult): Changes[] {
  const { replicas, subjects, minutes, perMinute } = scenario;
  const failedAtMinute = Math.ceil(((findings[0]?.at ?? 0) / 60_000) * MINUTE_PARTS) / MINUTE_PARTS;
  const shorter = [failedAtMinute, Math.ceil((minutes / 2) * MINUTE_PARTS) / MINUTE_PARTS];
  return [
    ...(Object.keys(perMinute) as FaultName[])
      .filter((name) => (perMinute[name] ?? 0) > 0)
      .map((name) => ({ [name]: 0 })),
    ...(['lossRate', 'announcementLossRate', 'skewMs', 'vendorOffsetMs'] as const)
      .filter((name) => scenario[name] !== 0)
      .map((name) => ({ [name]: 0 })),
    ...(replicas > 1 ? [{ replicas: replicas - 1 }] : []),
    ...(subjects > 1 ? [{ subjects: Math.ceil(subjects / 2) }, { subjects: subjects - 1 }] : []),
    ...shorter.filter((value) => value > 0 && value < minutes).map((value) => ({ minutes: value })),
  ];
}
