// `npm run simulate:mistakes [-- TEXT]`: puts one mistake at a time into a copy of the code. The simulation must find
// each within two minutes. With a text, only the mistakes with this text in their name. A run that finds all mistakes
// writes test/simulation/mistake-results.json; `npm run reference` shows it in docs/test-results.md.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { MISTAKES, type Mistake, type MistakeResults, RESULTS_FILE, withMistake } from '../test/simulation/mistakes.ts';
import { runSchedule } from '../test/simulation/run-schedule.ts';
import { SCENARIOS } from '../test/simulation/scenario.ts';

const ROOT = join(import.meta.dirname, '..');
const SEARCH_MS = 120_000;
/** A mistake may cause an endless loop, so that the search does not end by itself. That is a finding too. */
const GRACE_MS = 30_000;
const MAX_SEED = 2 ** 31;
/** In a copy: searches for a finding. */
const SEARCH = '--search';
/** How Node.js reports an error that nothing catches. */
const CRASH = /^(?:\w*Error: .*|\[UnhandledPromiseRejection.*)$/m;

interface Finding {
  readonly rule: string;
  /** The number of schedules until then. */
  readonly schedules: number;
  /** The schedule. */
  readonly scenario: string;
  readonly seed: number;
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const textOf = ({ file }: Mistake): string => readFileSync(join(ROOT, file), 'utf8');

/** Runs schedules with fresh seeds until one breaks a rule. */
async function search(ms: number): Promise<Finding | undefined> {
  const until = performance.now() + ms;
  let schedules = 0;
  for (let seed = randomInt(MAX_SEED); ; seed += 1) {
    for (const [scenario, world] of Object.entries(SCENARIOS)) {
      if (performance.now() > until) return undefined;
      schedules += 1;
      const [finding] = (await runSchedule(world, seed)).findings;
      if (finding) return { rule: finding.rule, schedules, scenario, seed };
    }
  }
}

/** Makes a copy of the code with the mistake. @returns its folder */
function copyWith(mistake: Mistake): string {
  const copy = mkdtempSync(join(tmpdir(), 'mistake-'));
  for (const path of ['src', 'test/judge', 'test/simulation', 'test/support', 'tools', 'package.json'])
    cpSync(join(ROOT, path), join(copy, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  writeFileSync(join(copy, mistake.file), withMistake(mistake, textOf(mistake)));
  return copy;
}

/**
 * Searches in a copy, with one process for each core. @returns the first finding, or how the search ended before its
 * time; `undefined` for neither
 * @throws Error if the copy does not run
 */
async function searchIn(copy: string, ms: number): Promise<Finding | string | undefined> {
  const args = ['--import', 'tsx', 'tools/simulate-mistakes.ts', SEARCH, String(ms)];
  const children = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, args, { cwd: copy, stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  const searches = children.map((child) => searchOf(child, ms));
  const found = searches.map((search) =>
    search.then((finding) => finding ?? Promise.reject(new Error('nothing found'))),
  );
  // If none has found anything, one of them may say why.
  const first = Promise.any(found).catch(async () => (await Promise.all(searches))[0]);
  return first.finally(() => children.map((child) => child.kill()));
}

async function searchOf(
  child: ChildProcessByStdio<null, Readable, Readable>,
  ms: number,
): Promise<Finding | string | undefined> {
  let isStuck = false;
  const deadline = setTimeout(() => {
    isStuck = child.kill('SIGKILL');
  }, ms + GRACE_MS);
  const [output, errors, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  clearTimeout(deadline);
  if (output !== '') return JSON.parse(output) as Finding;
  if (isStuck) return 'the simulation does not end';
  const [crash] = CRASH.exec(errors) ?? [];
  if (crash === undefined && typeof status === 'number' && status > 0)
    throw new Error(`The copy does not run: ${errors}`);
  return crash && `the simulation crashes: ${crash}`;
}

/** Whether the code without a mistake breaks the same rule in the same schedule. */
async function isOfPresentCode({ rule, scenario, seed }: Finding): Promise<boolean> {
  const world = SCENARIOS[scenario];
  if (!world) throw new Error(`there is no scenario "${scenario}"`);
  return (await runSchedule(world, seed)).findings.some((finding) => finding.rule === rule);
}

/** Lets the simulation look for the mistake. @returns what it found, and when; `undefined` for nothing */
async function findingOf(mistake: Mistake): Promise<{ readonly after: string; readonly rule: string } | undefined> {
  const copy = copyWith(mistake);
  const startedAt = performance.now();
  let schedules = 0;
  try {
    for (let leftMs = SEARCH_MS; leftMs > 0; leftMs = SEARCH_MS - (performance.now() - startedAt)) {
      const finding = await searchIn(copy, leftMs);
      if (finding === undefined) return undefined;
      if (typeof finding === 'string') {
        return { after: `${Math.round((performance.now() - startedAt) / 1_000)} s`, rule: finding };
      }
      schedules += finding.schedules;
      if (!(await isOfPresentCode(finding))) {
        return { after: `${schedules} schedules`, rule: finding.rule };
      }
      const { rule, scenario, seed } = finding;
      print(
        `The code without a mistake breaks it too: ${rule}: SEED=${seed} npm run simulate -- --scenario "${scenario}"`,
      );
    }
    return undefined;
  } finally {
    rmSync(copy, { recursive: true });
  }
}

if (process.argv[2] === SEARCH) {
  const finding = await search(Number(process.argv[3]));
  if (finding) process.stdout.write(JSON.stringify(finding));
  process.exit(0);
}

// Before the first run, because each takes up to two minutes.
for (const mistake of MISTAKES) withMistake(mistake, textOf(mistake));
const chosen = MISTAKES.filter(({ name }) => name.includes(process.argv[2] ?? ''));
const findings: Record<string, string> = {};
for (const mistake of chosen) {
  const finding = await findingOf(mistake);
  if (finding) {
    findings[mistake.name] = finding.rule;
    print(`found   ${mistake.name}\n        after ${finding.after}: ${finding.rule}`);
  } else print(`MISSED  ${mistake.name}`);
}
const found = Object.keys(findings).length;
print(`${found} of ${chosen.length} mistakes found`);
if (found === MISTAKES.length) {
  const results: MistakeResults = { date: new Date().toISOString().slice(0, 10), findings };
  writeFileSync(RESULTS_FILE, `${JSON.stringify(results, null, 2)}\n`);
}
process.exit(found === chosen.length ? 0 : 1);
