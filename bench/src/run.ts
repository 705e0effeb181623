// `npm run bench`: compares the broker with its peers. docs/performance.md describes the scenarios.
import { describeMachine, otherLoad } from './machine.ts';
import { readOptions } from './options.ts';
import { requireTwoCores } from './processes/cores.ts';
import { buildPeers } from './processes/repository.ts';
import { publish } from './report/publish.ts';
import { scenarioTables, textTable } from './report/tables.ts';
import type { Results, Scenario, ScenarioResult } from './scenario.ts';
import { smoke } from './smoke/smoke.ts';

const options = readOptions(process.argv.slice(2));
if (options.smoke) process.exit((await smoke()) ? 0 : 1);

const { rounds, seconds } = options;
const print = (text: string) => void process.stdout.write(`${text}\n`);
const say = (line: string) => void process.stderr.write(`${line}\n`);
requireTwoCores();
buildPeers();
// The exit handler in test/support/child-process.ts also ends the child processes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const machine = { ...describeMachine(), 'busy before': `${Math.round((await otherLoad()) * 100)} %` };
for (const [name, value] of Object.entries(machine)) print(`${name.padEnd(20)} ${value}`);

const scenarios: Record<string, ScenarioResult> = {};
for (const name of options.scenarios) {
  const { scenario } = (await import(`./scenarios/${name}.ts`)) as { scenario: Scenario };
  say(`\n${name} …`);
  const result = await scenario.run({ rounds, seconds, say });
  scenarios[name] = result;
  const { figures, comparisons } = scenarioTables(result);
  print(`\n${name}\n${textTable(figures)}`);
  if (comparisons.length > 1) print(`\n${textTable(comparisons)}`);
  for (const note of result.notes ?? []) print(`- ${note}`);
}
const results: Results = { measuredAt: new Date().toISOString(), machine, rounds, seconds, scenarios };
if (options.complete) publish(results);
