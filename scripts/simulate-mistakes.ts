// `npm run simulate:mistakes [-- TEXT]`: puts one mistake at a time into a copy of the code. The simulation must find each
// within two minutes. With a text, only the mistakes with this text in their name.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { MISTAKES, type Mistake, withMistake } from '../test/simulation/mistakes.ts';
import { runSchedule } from '../test/simulation/run-schedule.ts';
import { SCENARIOS } from '../test/simulation/scenario.ts';

const ROOT = join(import.meta.dirname, '..');
const SEARCH_MS = 120_000;
/** A mistake may cause an endless loop, so that the search does not end by itself. */
const GRACE_MS = 15_000;
const MAX_SEED = 2 ** 31;
/** Of all mistakes, this share must be found. */
const WANTED = 36 / 40;
/** In a copy: searches for a finding. */
const SEARCH = '--search';
/** How Node.js reports an error that nothing catches. */
const CRASH = /^(?:\w*Error: .*|\[UnhandledPromiseRejection.*)$/m;

interface Finding {
  readonly invariant: string;
  /** The number of schedules until then. */
  readonly schedules: number;
  /** The schedule. */
  readonly scenario: string;
  readonly seed: number;
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const textOf = ({ file }: Mistake): string => readFileSync(join(ROOT, file), 'utf8');

/** Runs schedules with fresh seeds until one breaks an invariant. */
async function search(ms: number): Promise<Finding | undefined> {
  const until = performance.now() + ms;
  let schedules = 0;
  for (let seed = randomInt(MAX_SEED); ; seed += 1) {
    for (const [scenario, world] of Object.entries(SCENARIOS)) {
      if (performance.now() > until) return undefined;
      schedules += 1;
      const [violation] = (await runSchedule(world, seed)).violations;
      if (violation) return { invariant: violation.invariant, schedules, scenario, seed };
    }
  }
}

/** Makes a copy of the code with the mistake. @returns its folder */
function copyWith(mistake: Mistake): string {
  const copy = mkdtempSync(join(tmpdir(), 'mistake-'));
  for (const path of ['src', 'test/simulation', 'scripts', 'package.json'])
    cpSync(join(ROOT, path), join(copy, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  writeFileSync(join(copy, mistake.file), withMistake(mistake, textOf(mistake)));
  return copy;
}

/** Searches in a copy. @returns the finding, or the error that ended the search; `undefined` for neither */
async function searchIn(copy: string, ms: number): Promise<Finding | string | undefined> {
  const args = ['--import', 'tsx', 'scripts/simulate-mistakes.ts', SEARCH, String(ms)];
  const child = spawn(process.execPath, args, { cwd: copy, stdio: ['ignore', 'pipe', 'pipe'] });
  const deadline = setTimeout(() => child.kill('SIGKILL'), ms + GRACE_MS);
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  clearTimeout(deadline);
  return output === '' ? CRASH.exec(errors)?.[0] : (JSON.parse(output) as Finding);
}

/** Whether the code without a mistake breaks the same invariant in the same schedule. */
async function isOfPresentCode({ invariant, scenario, seed }: Finding): Promise<boolean> {
  const world = SCENARIOS[scenario];
  if (!world) throw new Error(`there is no scenario "${scenario}"`);
  return (await runSchedule(world, seed)).violations.some((violation) => violation.invariant === invariant);
}

/** Lets the simulation look for the mistake. @returns what it found, and when; `undefined` for nothing */
async function findingOf(mistake: Mistake): Promise<string | undefined> {
  const copy = copyWith(mistake);
  const startedAt = performance.now();
  let schedules = 0;
  try {
    for (let leftMs = SEARCH_MS; leftMs > 0; leftMs = SEARCH_MS - (performance.now() - startedAt)) {
      const finding = await searchIn(copy, leftMs);
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
      if (finding === undefined) return undefined;
      if (typeof finding === 'string') return `after ${seconds} s: the simulation crashes: ${finding}`;
      schedules += finding.schedules;
      if (!(await isOfPresentCode(finding)))
        return `after ${schedules} schedules and ${seconds} s: ${finding.invariant}`;
      const { invariant, scenario, seed } = finding;
      print(
        `The code without a mistake breaks it too: ${invariant}: SEED=${seed} npm run simulate -- --scenario "${scenario}"`,
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
let found = 0;
for (const mistake of chosen) {
  const finding = await findingOf(mistake);
  if (finding !== undefined) found += 1;
  print(finding === undefined ? `MISSED  ${mistake.name}` : `found   ${mistake.name}\n        ${finding}`);
}
print(`${found} of ${chosen.length} mistakes found`);
process.exit(found >= WANTED * chosen.length ? 0 : 1);
