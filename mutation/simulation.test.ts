import { expect, test } from 'vitest';
import { runSchedule } from '../test/simulation/run-schedule.ts';
import { SCENARIOS } from '../test/simulation/scenario.ts';

// A mutant runs against few and short schedules, always the same ones.
test.each(Object.entries(SCENARIOS))('a fleet under "%s" keeps every invariant', async (_, scenario) => {
  const { violations } = await runSchedule({ ...scenario, minutes: 1 }, 1);
  expect(violations).toEqual([]);
});
