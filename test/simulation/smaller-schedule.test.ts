import { expect, test } from 'vitest';
import { runSchedule } from './run-schedule.ts';
import { SCENARIOS, type Scenario } from './scenario.ts';
import { formatChanges, parseChanges, smallerFailure, withChanges } from './smaller-schedule.ts';

/** Every login exceeds its timeout, so the first reads fail, with or without the faults. */
function impossible(): Scenario {
  const scenario = SCENARIOS['everything'] as Scenario;
  return { ...scenario, lossRate: 0, vendorLatencyMs: () => 60_000, replicas: 2, minutes: 0.5 };
}

test('a failing schedule becomes smaller, still breaks the same rule, and is replayed by its changes', async () => {
  const scenario = impossible();
  const seed = 4;
  const result = await runSchedule(scenario, seed);
  const smaller = await smallerFailure(scenario, seed, result);
  expect(smaller.changes).toMatchObject({ replicas: 1, subjects: 1, crash: 0, partition: 0, vendorTrouble: 0 });
  expect(smaller.result.steps).toBeLessThan(result.steps / 4);
  expect(smaller.result.findings[0]?.rule).toBe(result.findings[0]?.rule);
  const replayed = withChanges(scenario, parseChanges(formatChanges(smaller.changes)));
  expect(await runSchedule(replayed, seed)).toEqual(smaller.result);
});

test.each(['crash', 'crash=', 'crash=-1', 'crash=1 replicas=2', 'lives=9'])('the changes "%s" are refused', (text) => {
  expect(() => withChanges(impossible(), parseChanges(text))).toThrow(RangeError);
});
