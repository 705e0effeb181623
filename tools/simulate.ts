// `npm run simulate`: runs schedules of the simulated fleet until one breaks a rule, or the time is over.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runSchedule, type ScheduleResult } from '../test/simulation/run-schedule.ts';
import { SCENARIOS, type Scenario } from '../test/simulation/scenario.ts';
import {
  type Changes,
  formatChanges,
  parseChanges,
  smallerFailure,
  withChanges,
} from '../test/simulation/smaller-schedule.ts';

const MAX_SEED = 2 ** 31;
const USAGE = `npm run simulate -- [--scenario NAME] [--with NAME=NUMBER,…] [--minutes N] [--trace]
  SEED=N runs the schedule of this seed alone, and shows its trace.
  --with changes the scenario, for example replicas=2,crash=0 (no crashes). A failure prints the changes that make it smaller.
  Scenarios: ${Object.keys(SCENARIOS).join(', ')}`;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    with: { type: 'string', default: '' },
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
if (values.help) exit(0, USAGE);
const scenarios = chosenScenarios();
if (scenarios.length === 0) exit(2, `There is no scenario "${values.scenario}".\n${USAGE}`);
if (!(minutes > 0)) exit(2, `--minutes must be a number above 0.\n${USAGE}`);
if (SEED !== undefined && !/^\d+$/.test(SEED)) exit(2, `SEED must be a whole number.\n${USAGE}`);

const totals = { schedules: 0, steps: 0, reads: 0, failedReads: 0, logins: 0 };
const startedAt = performance.now();
const secondsSinceStart = () => (performance.now() - startedAt) / 1_000;
const isOver = () => secondsSinceStart() >= minutes * 60;
for (let seed = SEED === undefined ? randomInt(MAX_SEED) : Number(SEED); !isOver(); seed += 1) {
  for (const [name, scenario] of scenarios) {
    const result = await runSchedule(scenario, seed);
    const { findings, report, trace, ...counts } = result;
    totals.schedules += 1;
    for (const count of ['steps', 'reads', 'failedReads', 'logins'] as const) totals[count] += counts[count];
    if (values.trace || SEED !== undefined) print(trace.join('\n'));
    if (findings.length === 0) continue;
    print(`A rule is broken after ${totals.schedules} schedules and ${secondsSinceStart().toFixed(1)} s:`);
    print(report.join('\n'));
    if (SEED === undefined) await showSmaller(name, scenario, seed, result);
    exit(1, `To replay: ${replay(name, seed, parseChanges(values.with))}`);
  }
  if (SEED !== undefined) break;
}
const seconds = secondsSinceStart();
const { schedules, steps, reads, failedReads, logins } = totals;
print(`${schedules} schedules, ${steps} steps, ${reads} reads (${failedReads} failed), ${logins} logins: no finding`);
print(`${(schedules / seconds).toFixed(1)} schedules and ${Math.round(steps / seconds)} steps per second`);

function chosenScenarios(): [string, Scenario][] {
  try {
    const changes = parseChanges(values.with);
    return Object.entries(SCENARIOS)
      .filter(([name]) => values.scenario === undefined || values.scenario === name)
      .map(([name, scenario]) => [name, withChanges(scenario, changes)]);
  } catch (error) {
    return exit(2, `--with: ${(error as Error).message}.\n${USAGE}`);
  }
}

function replay(name: string, seed: number, changes: Changes): string {
  const option = Object.keys(changes).length > 0 ? ` --with ${formatChanges(changes)}` : '';
  return `SEED=${seed} npm run simulate -- --scenario "${name}"${option}`;
}

/** Shows a smaller schedule that breaks the same rule, with its trace. */
async function showSmaller(name: string, scenario: Scenario, seed: number, result: ScheduleResult): Promise<void> {
  const smaller = await smallerFailure(scenario, seed, result);
  print(smaller.result.trace.join('\n'));
  if (Object.keys(smaller.changes).length === 0) return;
  print('A smaller schedule breaks the same rule:');
  print(smaller.result.report.join('\n'));
  print(`To replay it: ${replay(name, seed, { ...parseChanges(values.with), ...smaller.changes })}`);
}
