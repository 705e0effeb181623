// `npm run simulate`: runs schedules of the simulated fleet until one breaks an invariant, or the time is over.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runSchedule } from '../test/simulation/run-schedule.ts';
import { SCENARIOS } from '../test/simulation/scenario.ts';

const MAX_SEED = 2 ** 31;
const USAGE = `npm run simulate -- [--scenario NAME] [--minutes N] [--trace]
  SEED=N runs the schedule of this seed alone, and shows its trace.
  Scenarios: ${Object.keys(SCENARIOS).join(', ')}`;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const print = (line: string) => void process.stdout.write(`${line}\n`);
const exit = (code: number, text: string): never => {
  print(text);
  process.exit(code);
};

const minutes = Number(values.minutes);
const { SEED } = process.env;
const scenarios = Object.entries(SCENARIOS).filter(
  ([name]) => values.scenario === undefined || values.scenario === name,
);
if (values.help) exit(0, USAGE);
if (scenarios.length === 0) exit(2, `There is no scenario "${values.scenario}".\n${USAGE}`);
if (!(minutes > 0)) exit(2, `--minutes must be a number above 0.\n${USAGE}`);
if (SEED !== undefined && !/^\d+$/.test(SEED)) exit(2, `SEED must be a whole number.\n${USAGE}`);

const totals = { schedules: 0, steps: 0, reads: 0, failedReads: 0, logins: 0 };
const startedAt = performance.now();
const isOver = () => performance.now() - startedAt >= minutes * 60_000;
for (let seed = SEED === undefined ? randomInt(MAX_SEED) : Number(SEED); !isOver(); seed += 1) {
  for (const [name, scenario] of scenarios) {
    const { violations, trace, ...counts } = await runSchedule(scenario, seed);
    totals.schedules += 1;
    for (const count of ['steps', 'reads', 'failedReads', 'logins'] as const) totals[count] += counts[count];
    if (values.trace || SEED !== undefined || violations.length > 0) print(trace.join('\n'));
    if (violations.length === 0) continue;
    for (const { invariant, atMs, what } of violations) print(`${(atMs / 1_000).toFixed(3)} s: ${invariant}: ${what}`);
    exit(1, `An invariant is broken. To replay: SEED=${seed} npm run simulate -- --scenario "${name}"`);
  }
  if (SEED !== undefined) break;
}
const seconds = (performance.now() - startedAt) / 1_000;
const { schedules, steps, reads, failedReads, logins } = totals;
print(`${schedules} schedules, ${steps} steps, ${reads} reads (${failedReads} failed), ${logins} logins: no finding`);
print(`${(schedules / seconds).toFixed(1)} schedules and ${Math.round(steps / seconds)} steps per second`);
