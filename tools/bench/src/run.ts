// `npm run bench`: compares the broker with its peers. docs/performance.md describes scenarios and method.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { useLoadCore } from './cores.ts';
import { describeMachine } from './machine.ts';
import { readOptions } from './options.ts';
import { publish, scenarioTables, textTable } from './report.ts';
import type { Scenario, ScenarioResult } from './scenario.ts';
import { smoke } from './smoke/smoke.ts';

const { rounds, seconds, ...options } = readOptions(process.argv.slice(2));
if (options.smoke) process.exit((await smoke()) ? 0 : 1);

const print = (text: string) => void process.stdout.write(`${text}\n`);
const say = (line: string) => void process.stderr.write(`${line}\n`);
// The exit handler in test/support/child-process.ts also ends the child processes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
useLoadCore();
// The process of a peer runs compiled code like the broker, because code that tsx transforms is slower.
await build({
  entryPoints: [fileURLToPath(new URL('peers/serve.ts', import.meta.url))],
  outdir: 'tools/bench/dist',
  bundle: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
});
const machine = { ...(await describeMachine()), rounds: `${rounds} of ${seconds} s` };
print(textTable(Object.entries(machine)));

const results = new Map<string, ScenarioResult>();
for (const name of options.scenarios) {
  const { scenario } = (await import(`./scenarios/${name}.ts`)) as { scenario: Scenario };
  say(`\n${name} …`);
  const result = await scenario({ rounds, seconds, say });
  results.set(name, result);
  print(`\n${name}\n${scenarioTables(result).map(textTable).join('\n\n')}`);
}
if (options.complete) publish(machine, results);
process.exit(0);
