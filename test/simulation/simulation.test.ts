import { expect, test } from 'vitest';
import { runSchedule } from './run-schedule.ts';
import { SCENARIOS } from './scenario.ts';

/** Always the same one: only a change of the code can break this test. `npm run simulate` takes new ones. */
const SEED = 1;
/** Lines of the trace that a failure shows. `npm run simulate` shows all. */
const TRACE_LINES = 40;

test.each(Object.entries(SCENARIOS))('a fleet under "%s" keeps every rule', async (name, scenario) => {
  const { findings, trace } = await runSchedule(scenario, SEED);
  const replay = `SEED=${SEED} npm run simulate -- --scenario "${name}"`;
  expect(findings, [replay, ...trace.slice(-TRACE_LINES)].join('\n')).toEqual([]);
});

test('a schedule is the same every time it runs with the same seed', async () => {
  const scenario = { ...SCENARIOS['everything'], minutes: 1 } as (typeof SCENARIOS)[string];
  const [first, second] = [await runSchedule(scenario, 7), await runSchedule(scenario, 7)];
  expect(second).toEqual(first);
  expect(await runSchedule(scenario, 8)).not.toEqual(first);
});
