// `npm run history`: three real replicas, a real Redis and users under random faults. It judges the recorded history
// afterwards, from outside. One seed decides the plan; the real timing varies.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Plan, planRun } from '../test/history/plan.ts';
import { type RedisTopology, TOPOLOGIES } from '../test/history/redis-under-test.ts';
import { fakeTimeLibrary } from '../test/history/replica.ts';
import { playPlan } from '../test/history/run.ts';
import { startWorld } from '../test/history/world.ts';
import { Facts } from '../test/judge/facts.ts';
import { reportFindings } from '../test/judge/finding-report.ts';
import { judge } from '../test/judge/judge.ts';
import type { Fault } from '../test/judge/recording.ts';
import { Chance } from '../test/support/chance.ts';

const MAX_SEED = 2 ** 31;
const MAX_MINUTES = 180;
const USAGE = `npm run history -- [--seed N] [--minutes M] [--topology ${TOPOLOGIES.join('|')}] [--save FILE]
  The seed decides the plan, and the topology unless it is given. Default: a new seed, one minute.
  --save writes the whole history to a file, as JSON.
  The run takes up to 40 s longer than --minutes: it starts, settles and ends by itself. Exit code 1: a rule is broken.`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    topology: { type: 'string' },
    save: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const print = (line: string) => void process.stdout.write(`${line}\n`);
const exit = (code: number, text: string): never => {
  print(text);
  process.exit(code);
};
if (values.help) exit(0, USAGE);
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? randomInt(MAX_SEED));
if (!(minutes > 0 && minutes <= MAX_MINUTES))
  exit(2, `--minutes must be a number above 0, at most ${MAX_MINUTES}.\n${USAGE}`);
if (!(Number.isInteger(seed) && seed >= 0 && seed < MAX_SEED)) exit(2, `--seed must be a whole number.\n${USAGE}`);
const chance = new Chance(seed);
const topology = chosenTopology(chance);

// It may install a package. Before TMPDIR changes, because the lock for that is in TMPDIR.
const fakeTime = fakeTimeLibrary();
// Every file of the run is in this folder, also those of Redis and its Sentinels.
const folder = mkdtempSync(join(tmpdir(), 'history-'));
process.env['TMPDIR'] = folder;
// Runs after the exit handler of test/support/child-process.ts, which has ended the child processes.
process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

const durationMs = minutes * 60_000;
const startedAt = performance.now();
const plan = planRun(chance.fork(), topology, durationMs);
const tokenLifeSeconds = chance.whole(30, 60);
print(`seed ${seed}, ${topology}, tokens of ${tokenLifeSeconds} s, ${minutes} min: ${planned(plan)}`);
const world = await startWorld({ topology, tokenLifeSeconds, folder, replicas: 3, fakeTime });
await playPlan(world, plan, chance.fork(), durationMs);
const { history } = world;
await world.close();
if (values.save !== undefined) writeFileSync(values.save, JSON.stringify(history));
const findings = judge(history);
for (const text of reportFindings(history, findings)) print(text);
const seconds = Math.round((performance.now() - startedAt) / 1_000);
const facts = new Facts(history);
const { logins, faults } = history;
const reads = facts.reads();
const failed = reads.filter(({ status }) => status !== 200).length;
const quiet = reads.filter(({ endedAt }) => facts.isQuiet(endedAt)).length;
print(
  `${reads.length} reads (${failed} not answered with a token, ${quiet} while all was quiet), ${logins.length} logins, ${counted(faults)}; ${seconds} s`,
);
if (findings.length > 0) {
  exit(1, `To repeat the plan: npm run history -- --seed ${seed} --minutes ${minutes} --topology ${topology}`);
}
exit(0, 'no finding');

function chosenTopology(choice: Chance): RedisTopology {
  const byChance = choice.pick(TOPOLOGIES);
  if (values.topology === undefined) return byChance;
  const chosen = TOPOLOGIES.find((name) => name === values.topology);
  return chosen ?? exit(2, `--topology must be one of ${TOPOLOGIES.join(', ')}.\n${USAGE}`);
}

function planned({ events }: Plan): string {
  const episodes = events.flatMap((event) => ('episode' in event ? [event.episode] : []));
  return [`${events.length - episodes.length} faults by chance`, ...episodes].join('; ');
}

function counted(all: readonly Fault[]): string {
  const counts = new Map<string, number>();
  for (const { kind } of all) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
}
