// Runs all attacks of test/hostile together with honest load against three replicas, and shows whether memory,
// descriptors, log lines and Redis level off. Needs Linux, because it reads /proc.
//   npm run soak -- [--minutes 30] [--write]    --write: put the result into docs/security.md
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { markdownTable, writeMarkedSection } from './markdown.ts';
import { type AttackResult, runAttacks } from './soak/attacks.ts';
import { HonestLoad } from './soak/honest-load.ts';
import { ALLOWED_GROWTH, Samples } from './soak/samples.ts';
import { startTargets } from './soak/targets.ts';

const SAMPLE_MS = 30_000;
const MIN_SAMPLES = 12;
/** A shorter run cannot level off: a newcomer returns after 12 minutes, and the middle third must end later. */
const MIN_WRITTEN_MINUTES = 30;
const MAX_P99_MS = 250;
/** A forged erasure refuses a read if Redis does not answer in time just then. */
const MIN_SERVED = 0.999;
const MIN_NEWCOMERS_IN_TIME = 0.95;

const { values: options } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, write: { type: 'boolean', default: false } },
});
const minutes = Number(options.minutes);
if (!(minutes > 0 && minutes <= 180)) throw new Error('--minutes must be a number above 0, at most 180');
if (options.write && minutes < MIN_WRITTEN_MINUTES) throw new Error(`--write needs ${MIN_WRITTEN_MINUTES} minutes`);
// The exit handler in test/support/child-process.ts ends the child processes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const over = new AbortController();
const targets = await startTargets();
for (const { broker } of targets.replicas) {
  void broker.exit.then(({ code, signal }) => {
    if (!over.signal.aborted)
      throw new Error(`a replica ended (${signal ?? code}):\n${broker.log().slice(-20).join('\n')}`);
  });
}
const honest = new HonestLoad(targets);
await honest.prepare();
const attacking = runAttacks(targets, over.signal);
const reading = honest.run(over.signal);
const samples = new Samples(targets, honest);
const everyMs = Math.min(SAMPLE_MS, (minutes * 60_000) / MIN_SAMPLES);
const startedAt = performance.now();
for (let number = 1; number * everyMs <= minutes * 60_000; number += 1) {
  await sleep(Math.max(0, startedAt + number * everyMs - performance.now()));
  await samples.take();
}
over.abort();
const [attacks] = await Promise.all([attacking, reading]);

const { reads, newcomers, servedShare, p99Ms, newcomersInTime, problems: notServed } = honest.total();
const problems = [
  ...samples.growing().map((name) => `${name}: does not level off`),
  ...(servedShare < MIN_SERVED ? ['too many reads of known tokens were not served'] : []),
  ...(samples.medianP99() >= MAX_P99_MS ? [`the median p99 of known tokens is not below ${MAX_P99_MS} ms`] : []),
  ...(newcomersInTime < MIN_NEWCOMERS_IN_TIME ? ['too few newcomers were served within 1 s'] : []),
  ...attacks.flatMap(({ name, outcomes }) =>
    outcomes.has(500) ? [`an attack was answered with status 500: ${name}`] : [],
  ),
];
const verdict =
  problems.length === 0
    ? `Everything levels off: the median of the last third is at most ${100 * ALLOWED_GROWTH} % above those of the thirds before.`
    : `Not in order: ${problems.join('; ')}.`;
const share = (value: number) => `${(100 * value).toFixed(2)} %`;
const [processor] = cpus();
const report = [
  `${minutes} minutes on ${cpus().length} × ${processor?.model.trim()}, Node.js ${process.versions.node}.`,
  markdownTable(samples.rows(minutes)),
  verdict,
  `Honest load of the whole run: ${reads} reads of known tokens, ${share(servedShare)} served${notServed.length === 0 ? '' : ` (not: ${notServed.join(', ')})`}, p99 ${p99Ms.toFixed(0)} ms; ` +
    `${newcomers} newcomers, ${share(newcomersInTime)} served within 1 s.`,
  markdownTable([['attack', 'answers'], ...attacks.map(({ name, outcomes }) => [name, answersOf(outcomes)])]),
].join('\n\n');
process.stdout.write(`\n${report}\n`);
if (options.write) writeMarkedSection(new URL('../docs/security.md', import.meta.url), 'soak', report);
await targets.close();
process.exit(problems.length === 0 ? 0 : 1);

function answersOf(outcomes: AttackResult['outcomes']): string {
  const byCount = [...outcomes].sort(([, one], [, other]) => other - one);
  return byCount.map(([outcome, count]) => `${outcome}: ${count.toLocaleString('en-US')}`).join(', ');
}
